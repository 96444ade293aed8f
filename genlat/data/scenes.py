"""Larger images composed of MNIST's digits: two of them, or one in clutter.

In training, scenes are composed anew at each step, on the device
(`genlat.data.composition`). Here are the fixed ones, of validation and test, or
of training where `config.data.count` asks for a number of them: pure functions
of (set, split, index), made on the host when they are read.

`two_digits` is the task of DRAW (Gregor et al. 2015, arXiv:1502.04623, section
4.3): two digits at random places on 60 x 60 pixels, intensities added and cut
at white. `cluttered_mnist` is that of Mnih et al. 2014 (arXiv:1406.6247): a
digit at a random place on 100 x 100 pixels, among 8 pieces of 8 x 8 pixels cut
from other digits. Places are uniform over all that hold a digit or a piece as
a whole; the papers do not say so.
"""

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np

from genlat.data import mnist
from genlat.data import split as splitting
from genlat.data.source import DataError, Settings, Source, digest

PAIR_SIDE, CLUTTER_SIDE = 60, 100
PIECES, PIECE = 8, 8

Compose = Callable[[np.random.Generator, Source, int], dict[str, np.ndarray]]


def load_two_digits(config: Settings, split: str) -> Source:
  """Pairs of digits, `[60, 60, 1]`, attribute: both labels.

  Args:
    config: `path` is MNIST's folder; `count` 0 = as many as there are digits,
      in training anew at each step.
    split: made of the digits of that split.

  Raises:
    DataError: as for MNIST, or for a crop or size.
  """
  return _load("two_digits", config, split, PAIR_SIDE, _pair)


def load_cluttered(config: Settings, split: str) -> Source:
  """Digits among pieces of others, `[100, 100, 1]`, with their label.

  Arguments and errors as for `load_two_digits`.
  """
  return _load("cluttered_mnist", config, split, CLUTTER_SIDE, _clutter)


def _load(
  name: str, config: Settings, split: str, side: int, compose: Compose
) -> Source:
  if config.crop or config.image_size not in (0, side):
    raise DataError(
      f"{name} is made of {side} x {side} pixels: set config.data.crop and"
      " config.data.image_size to 0"
    )
  plain = dataclasses.replace(config, name="mnist", image_size=0, count=0)
  if config.validation and split != "test":
    # Digits are shared out, so that no scene shows one of another split.
    digits = mnist.load_idx(plain, "train")
    digits = splitting.validation_split(digits, config.validation, split)
  else:
    digits = mnist.load_idx(plain, split)
  return SceneSource(name, digits, split, config.count, side, compose)


class SceneSource:
  """Scenes of digits.

  Attributes:
    name: of the set.
    image_shape: of a scene.
    classes: names of the labels, of scenes of one digit.
    fingerprint: of digits, split and count.
    digits: what a train step composes its scenes of; None for a fixed set.
  """

  def __init__(
    self,
    name: str,
    digits: Source,
    split: str,
    count: int,
    side: int,
    compose: Compose,
  ) -> None:
    """`count` scenes, or as many as there are digits."""
    self.name = name
    self.image_shape: tuple[int, int, int] = (side, side, 1)
    self.classes = digits.classes if compose is _clutter else ()
    self.digits = digits if split == "train" and not count else None
    self._digits, self._compose = digits, compose
    self._count = count or len(digits)
    self._salt = f"genlat/{name}/{split}"
    self.fingerprint = digest(
      f"{name} 2", digits.fingerprint, split, str(count)
    )

  def __len__(self) -> int:
    """Number of scenes."""
    return self._count

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Composes the scenes at `indices` `[B]`."""
    side = self.image_shape[0]
    rows = []
    for index in indices:
      if not 0 <= index < self._count:
        raise IndexError(f"{self.name}: index {index} of {self._count} scenes")
      key = hashlib.blake2b(f"{self._salt}/{index}".encode(), digest_size=16)
      rng = np.random.Generator(
        np.random.Philox(int.from_bytes(key.digest(), "little"))
      )
      rows.append(self._compose(rng, self._digits, side))
    if not rows:
      return {"image": np.empty((0, *self.image_shape), np.uint8)}
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

  def captions(self, indices: np.ndarray) -> list[str]:
    """None: ''."""
    return [""] * len(indices)


def _pair(
  rng: np.random.Generator, digits: Source, side: int
) -> dict[str, np.ndarray]:
  """Two digits, their intensities added."""
  batch = digits.read(rng.integers(len(digits), size=2))
  canvas = np.zeros((side, side, 1), np.uint16)
  for image in batch["image"]:
    _add(canvas, image, rng)
  return {
    "image": np.minimum(canvas, 255).astype(np.uint8),
    "attribute": batch["label"].astype(np.int32),
  }


def _clutter(
  rng: np.random.Generator, digits: Source, side: int
) -> dict[str, np.ndarray]:
  """A digit, and pieces of others."""
  rows = rng.integers(len(digits), size=1 + PIECES)
  # Of other digits: a row that is the digit's own becomes the next one.
  rows[1:] = (rows[1:] + (rows[1:] == rows[0])) % len(digits)
  batch = digits.read(rows)
  canvas = np.zeros((side, side, 1), np.uint16)
  _add(canvas, batch["image"][0], rng)
  for image in batch["image"][1:]:
    top, left = rng.integers(0, np.array(image.shape[:2]) - PIECE + 1)
    _add(canvas, image[top : top + PIECE, left : left + PIECE], rng)
  return {
    "image": np.minimum(canvas, 255).astype(np.uint8),
    "label": batch["label"][0].astype(np.int32),
  }


def _add(
  canvas: np.ndarray, image: np.ndarray, rng: np.random.Generator
) -> None:
  """Adds an image to a canvas at a random place that holds all of it."""
  room = np.array(canvas.shape[:2]) - image.shape[:2]
  top, left = rng.integers(0, room + 1)
  canvas[top : top + image.shape[0], left : left + image.shape[1]] += image
