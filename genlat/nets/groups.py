"""How many groups of channels a normalisation has."""


def count(channels: int, most: int, least: int) -> int:
  """The largest number that cuts channels into equal groups.

  Of one channel, a group would take away what the image's mean says.

  Args:
    channels: C.
    most: groups at most.
    least: channels of a group at least, if C has so many.
  """
  whole = range(min(most, channels // least), 1, -1)
  return next((g for g in whole if channels % g == 0), 1)
