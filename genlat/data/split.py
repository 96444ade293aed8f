"""The validation split: a fixed cut of the train split.

An example belongs to validation where a hash of its position in the train
split, and of nothing else, falls below the share asked for. So the cut is the
same for every seed, machine and feeder, a larger share contains a smaller
one, and the order on disk (often by class) plays no part.
"""

import numpy as np

from genlat.data import order
from genlat.data.source import Source, digest

PARTS = ("train", "validation")

# Keeps this hash apart from those of `order`, which starts at seed 0.
_SALT = np.uint32(0x27D4EB2F)


class View:
  """Some examples of another source, under positions of their own.

  Attributes:
    name: that of the whole source.
    image_shape: height, width and channels.
    classes: names of the labels, empty without labels.
    fingerprint: hex digest over the whole source's and the cut.
    indices: `[N]` int64, positions in the whole source.
  """

  def __init__(self, source: Source, indices: np.ndarray, cut: str) -> None:
    """Shows the examples at `indices`; `cut` says how they were chosen."""
    self.name: str = source.name
    self.image_shape: tuple[int, int, int] = source.image_shape
    self.classes: tuple[str, ...] = source.classes
    self.fingerprint: str = digest(source.fingerprint, cut)
    self.indices = indices
    self._source = source

  def __len__(self) -> int:
    """The number of examples shown."""
    return len(self.indices)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Reads examples by their position in this view."""
    return self._source.read(self.indices[indices])

  def captions(self, indices: np.ndarray) -> list[str]:
    """Captions by position in this view."""
    return self._source.captions(self.indices[indices])


def validation_split(source: Source, share: float, part: str) -> Source:
  """Cuts a train split in two.

  Args:
    source: the train split.
    share: `config.data.validation`, expected share of validation in [0, 1).
      With 0 the train part is `source` itself.
    part: 'train' or 'validation'.

  Returns:
    The part, in the order of `source`.

  Raises:
    ValueError: if the share or part is unknown, or leaves a part empty.
  """
  if part not in PARTS:
    raise ValueError(f"a part is one of {', '.join(PARTS)}; got {part!r}")
  if not 0.0 <= share < 1.0:
    raise ValueError(f"config.data.validation must be in [0, 1); got {share}")
  if share == 0.0:
    if part == "train":
      return source
    raise ValueError(
      "there is no validation split: config.data.validation is 0; set it to"
      " the share of train to keep apart, such as 0.1"
    )
  chosen = _hash(np.arange(len(source))) < np.uint32(share * 2**32)
  indices = np.flatnonzero(chosen if part == "validation" else ~chosen)
  if not len(indices):
    raise ValueError(
      f"config.data.validation={share} leaves no {part} example among"
      f" {len(source)}; choose a share nearer to one half"
    )
  return View(source, indices, f"{part} validation={share!r}")


def _hash(indices: np.ndarray) -> np.ndarray:
  """A fixed uint32 hash of positions."""
  return order.mix(order.mix(indices.astype(np.uint32) + _SALT))
