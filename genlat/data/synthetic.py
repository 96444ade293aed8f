"""Sources that need no file: scikit-learn's digits, and drawn shapes.

`digits` are real: 1797 handwritten digits of 8x8 pixels and 17 grey levels,
shipped inside scikit-learn. `shapes` are drawn on demand from a hash of
(split, index): one coloured shape on a coloured ground, the same scene at
every resolution, with label, attributes and caption.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from genlat.data.decode import Recipe, fit_array
from genlat.data.source import (
  ArraySource,
  DataError,
  Settings,
  Source,
  check_split,
  digest,
  share,
)

_DIGITS_TEST = 297  # of 1797


def load_digits(config: Settings, split: str) -> Source:
  """scikit-learn's digits, 1500 train and 297 test, `[8, 8, 1]` unless resized.

  Args:
    config: `image_size` 0 = 8 pixels; `count` 0 = all, else the first ones.
    split: 'train' or 'test', parted by a fixed hash of the position.

  Raises:
    DataError: on another split or a count beyond the end.
  """
  from sklearn import datasets

  check_split("digits", split, ("train", "test"))
  bunch: Any = datasets.load_digits()
  images = np.rint(bunch["images"] * (255 / 16)).astype(np.uint8)[..., None]
  order = sorted(range(len(images)), key=lambda i: share("digits", str(i)))
  rows = order[:_DIGITS_TEST] if split == "test" else order[_DIGITS_TEST:]
  if config.count > len(rows):
    raise DataError(
      f"config.data.count={config.count}, but digits has {len(rows)} examples"
      f" in split '{split}'; 0 takes all"
    )
  rows = np.sort(rows)[: config.count or None]
  recipe = Recipe(config.crop, config.image_size)
  return ArraySource(
    "digits",
    {
      "image": fit_array(images[rows], recipe, "digits"),
      "label": bunch["target"][rows],
    },
    classes=[str(digit) for digit in range(10)],
  )


SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
COLOURS = {
  "red": (214, 48, 49),
  "green": (46, 160, 67),
  "blue": (33, 99, 214),
  "yellow": (245, 205, 47),
  "purple": (136, 58, 168),
  "orange": (240, 130, 30),
  "white": (245, 245, 245),
  "black": (16, 16, 16),
}
SIZES = ("small", "medium", "large")
POSITIONS = tuple(
  f"{row} {column}"
  for row in ("top", "middle", "bottom")
  for column in ("left", "centre", "right")
)
ATTRIBUTES: dict[str, tuple[str, ...]] = {
  "shape": SHAPES,
  "colour": tuple(COLOURS),
  "size": SIZES,
  "background": tuple(COLOURS),
  "position": POSITIONS,
}
_COUNTS = {"train": 10_000, "test": 1_000}
_RADII = (0.12, 0.19, 0.28)  # shares of the side
_SAMPLES = 4  # per pixel and axis


# What a scene is called; the first line is the plainest.
PHRASES = (
  "a {size} {colour} {shape} on {background}",
  "a {size} {shape} in {colour} on a {background} background",
  "on {background} there is a {colour} {shape}, {size}",
  "the background is {background} and the {size} {shape} is {colour}",
  "{size} {colour} {shape}, {background} background",
  "there is a {shape} here, {size} and {colour}, on {background}",
  "a {background} picture with a {size} {colour} {shape} in it",
  "this {shape} is {colour} and {size} and lies on {background}",
  "behind the {size} {colour} {shape} everything is {background}",
  "a {colour} {shape} on {background}, and it is {size}",
  "the {shape} has {colour} for its colour, its ground {background}, and it is"
  " {size}",
  "we see {background}, and on it a {size} {shape} that is {colour}",
)


@dataclass(frozen=True)
class _Scene:
  """What is drawn; lengths as shares of the side."""

  attributes: tuple[int, int, int, int, int]
  x: float
  y: float
  radius: float


def withheld(count: int) -> frozenset[tuple[int, int]]:
  """The (shape, colour) pairs that `config.data.withhold` keeps from train."""
  pairs = [(s, c) for s in range(len(SHAPES)) for c in range(len(COLOURS))]
  pairs.sort(key=lambda pair: share("shapes/withhold", f"{pair[0]}/{pair[1]}"))
  return frozenset(pairs[:count])


def _draws(key: str) -> tuple[np.ndarray, int, int]:
  """Sixteen random words, and the shape and colour of the first two."""
  words = np.frombuffer(hashlib.blake2b(key.encode()).digest(), "<u4")
  return words, int(words[0]) % 6, int(words[1]) % 8


def _scene(
  split: str, index: int, without: frozenset[tuple[int, int]]
) -> _Scene:
  """The scene of one index: a pure function of its arguments."""
  key = f"genlat/shapes/{split}/{index}"
  words, shape, colour = _draws(key)
  attempt = 0
  while (shape, colour) in without:
    attempt += 1
    words, shape, colour = _draws(f"{key}/{attempt}")
  size = int(words[2]) % 3
  background = (colour + 1 + int(words[3]) % 7) % 8  # never the same
  position = int(words[4]) % 9
  jitter = words[5:8] / 2.0**32 - 0.5
  row, column = divmod(position, 3)
  radius = _RADII[size] * (1.0 + 0.2 * float(jitter[2]))
  # A cell's centre, moved by at most 0.03, and never over the edge.
  place = [
    float(np.clip(0.25 + 0.25 * cell + 0.06 * by, radius, 1.0 - radius))
    for cell, by in ((column, jitter[0]), (row, jitter[1]))
  ]
  return _Scene(
    (shape, colour, size, background, position), place[0], place[1], radius
  )


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Whether points, in units of the radius and y downwards, lie in a shape."""
  if shape == "circle":
    return x * x + y * y <= 1.0
  if shape == "ring":
    return (x * x + y * y <= 1.0) & (x * x + y * y >= 0.3)
  if shape == "square":
    return np.maximum(abs(x), abs(y)) <= 0.8
  if shape == "diamond":
    return abs(x) + abs(y) <= 1.0
  if shape == "cross":
    return (np.minimum(abs(x), abs(y)) <= 0.3) & (
      np.maximum(abs(x), abs(y)) <= 0.9
    )
  # An equilateral triangle in the unit circle, its tip at the top.
  return (y <= 0.5) & (math.sqrt(3.0) * abs(x) - y <= 1.0)


def _draw(scene: _Scene, side: int) -> np.ndarray:
  """uint8 `[side, side, 3]`; coverage from 4 x 4 samples a pixel."""
  shape, colour, _, background, _ = scene.attributes
  palette = np.array(list(COLOURS.values()), np.float32)
  image = np.broadcast_to(palette[background], (side, side, 3)).copy()
  spans, points = [], []
  for centre in (scene.y, scene.x):  # only the shape's own box is sampled
    low = max(0, math.floor((centre - scene.radius) * side))
    high = min(side, math.ceil((centre + scene.radius) * side))
    grid = np.arange(low * _SAMPLES, high * _SAMPLES, dtype=np.float32) + 0.5
    points.append((grid / (_SAMPLES * side) - centre) / scene.radius)
    spans.append(slice(low, high))
  y, x = points
  fine = _inside(SHAPES[shape], x[None, :], y[:, None])
  rows, columns = len(y) // _SAMPLES, len(x) // _SAMPLES
  blocks = fine.reshape(rows, _SAMPLES, columns, _SAMPLES)
  cover = blocks.mean((1, 3), dtype=np.float32)[..., None]
  box = image[spans[0], spans[1]]
  image[spans[0], spans[1]] = box + cover * (palette[colour] - box)
  return np.rint(image).astype(np.uint8)


class ShapeSource:
  """Drawn shapes: label = shape, attributes, and captions."""

  def __init__(
    self, split: str, count: int, side: int, withhold: int = 0
  ) -> None:
    """`count` scenes of `split` at `side` pixels.

    Args:
      split: whose scenes.
      count: how many.
      side: pixels.
      withhold: how many pairs of shape and colour do not occur.

    Raises:
      DataError: if the side is not in 16..1024, the count is not positive, or
        fewer than 24 of the 48 pairs are left.
    """
    if not 0 <= withhold <= 24:
      raise DataError(
        f"shapes: config.data.withhold must be 0 to 24 pairs; got {withhold}"
      )
    if not 16 <= side <= 1024 or count < 1:
      raise DataError(
        "shapes: config.data.image_size must be 16 to 1024 pixels and"
        f" config.data.count at least 1; got {side} and {count}"
      )
    self.name = "shapes"
    self.image_shape: tuple[int, int, int] = (side, side, 3)
    self.classes: tuple[str, ...] = SHAPES
    without = (f"without {withhold}",) if withhold else ()
    self.fingerprint = digest(
      "shapes 1", split, str(count), str(side), *without
    )
    self._without = withheld(withhold)
    self._split = split
    self._count = count

  def __len__(self) -> int:
    """Number of examples."""
    return self._count

  def _scenes(self, indices: np.ndarray) -> list[_Scene]:
    bad = [int(i) for i in indices if not 0 <= i < self._count]
    if bad:
      raise IndexError(f"shapes: index {bad[0]} of {self._count} examples")
    return [_scene(self._split, int(i), self._without) for i in indices]

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Draws the examples at `indices` `[B]`; 'attribute' is `[B, 5]`."""
    scenes = self._scenes(indices)
    side = self.image_shape[0]
    attribute = np.array([s.attributes for s in scenes], np.int32)
    attribute = attribute.reshape(-1, len(ATTRIBUTES))
    images = np.empty((len(scenes), *self.image_shape), np.uint8)
    for image, scene in zip(images, scenes, strict=True):
      image[:] = _draw(scene, side)
    return {
      "image": images,
      "label": attribute[:, 0].copy(),
      "attribute": attribute,
    }

  def captions(self, indices: np.ndarray) -> list[str]:
    """PHRASES of each scene: 'a small red circle on blue' and others."""
    texts = []
    for scene in self._scenes(indices):
      names = {
        key: names[i]
        for (key, names), i in zip(
          ATTRIBUTES.items(), scene.attributes, strict=True
        )
      }
      texts.append("\n".join(phrase.format(**names) for phrase in PHRASES))
    return texts


def load_shapes(config: Settings, split: str) -> Source:
  """Drawn shapes; `image_size` 0 = 64 pixels, `count` 0 = 10000 / 1000.

  Train alone lacks the pairs of shape and colour that `withhold` counts.
  """
  check_split("shapes", split, tuple(_COUNTS))
  count = config.count or _COUNTS[split]
  withhold = config.withhold if split == "train" else 0
  return ShapeSource(split, count, config.image_size or 64, withhold)
