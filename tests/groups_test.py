"""How channels are cut into groups."""

import pytest

from genlat.nets import groups


@pytest.mark.parametrize("most,least", [(32, 4), (8, 2)])
def test_groups_are_equal_wide_and_as_many_as_can_be(most, least):
  for channels in range(1, 600):
    found = groups.count(channels, most, least)
    fitting = [
      g
      for g in range(1, most + 1)
      if channels % g == 0 and channels // g >= least
    ]
    assert found == max(fitting, default=1)


def test_the_shipped_widths():
  widths = (16, 32, 64, 128, 512)
  assert [groups.count(c, 32, 4) for c in widths] == [4, 8, 16, 32, 32]
  assert [groups.count(c, 8, 2) for c in widths] == [8] * 5
