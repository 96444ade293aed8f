"""Squares of images: at random places in training, central in all else.

`config.data.random_crop` asks for both. The feeder of a run hands out whole
images, and `images.Preparation` cuts each at a random place inside the train
step. Whatever else reads a source (validation, metrics, pictures, the prior's
codes) sees `central` of it, so that a model and what it is compared with have
one shape.
"""

from typing import Any

import numpy as np

from genlat.data.source import Source, digest


def side_of(config: Any) -> int:
  """`random_crop` of `config.data`; runs older than the key are without."""
  return config.get("random_crop", 0)


def central(source: Source, side: int) -> Source:
  """A source's central squares.

  Args:
    source: of images `[H, W, C]`.
    side: pixels; 0 = the source itself.

  Raises:
    ValueError: if the images do not hold such a square.
  """
  if not side:
    return source
  height, width, _ = source.image_shape
  if not 0 < side <= min(height, width):
    raise ValueError(
      "config.data.random_crop must be 0 (off) or 1 to"
      f" {min(height, width)}, as the images of {source.name} have"
      f" {height} x {width} pixels; got {side}: lower it, or raise"
      " config.data.image_size"
    )
  return Central(source, side)


class Central:
  """The central squares of another source's images.

  Attributes:
    name: that of the whole source.
    image_shape: side, side, channels.
    classes: names of the labels, empty without labels.
    fingerprint: hex digest over the whole source's and the side.
  """

  def __init__(self, source: Source, side: int) -> None:
    """Shows squares of `side` pixels; an odd rest lies below and right."""
    height, width, channels = source.image_shape
    self.name: str = source.name
    self.image_shape: tuple[int, int, int] = (side, side, channels)
    self.classes: tuple[str, ...] = source.classes
    self.fingerprint: str = digest(source.fingerprint, f"central {side}")
    self._source, self._side = source, side
    self._top, self._left = (height - side) // 2, (width - side) // 2

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._source)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """The examples at `indices` `[B]`, 'image' cut; see `Source.read`."""
    batch = self._source.read(indices)
    rows = slice(self._top, self._top + self._side)
    columns = slice(self._left, self._left + self._side)
    cut = np.ascontiguousarray(batch["image"][:, rows, columns])
    return {**batch, "image": cut}

  def captions(self, indices: np.ndarray) -> list[str]:
    """Those of the whole source."""
    return self._source.captions(indices)
