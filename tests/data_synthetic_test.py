"""Laws of the digits and of the drawn shapes."""

import re

import numpy as np
import pytest
from data_layouts import settings
from sklearn import datasets

from genlat import data
from genlat.data import synthetic
from genlat.data.source import DataError


def _all(source: data.Source) -> dict[str, np.ndarray]:
  return source.read(np.arange(len(source)))


def _shapes(split: str = "train", side: int = 32, count: int = 300):
  return data.build(settings("shapes", image_size=side, count=count), split)


def test_digits_are_sklearns_parted_once_and_scaled_to_255():
  train = _all(data.build(settings("digits"), "train"))
  test = _all(data.build(settings("digits"), "test"))
  assert (len(train["image"]), len(test["image"])) == (1500, 297)
  both = np.concatenate([train["image"], test["image"]])
  assert (both.min(), both.max()) == (0, 255)
  bunch = datasets.load_digits()
  ours = {(x.tobytes(), y) for x, y in _pairs(train)} | {
    (x.tobytes(), y) for x, y in _pairs(test)
  }
  theirs = np.rint(bunch["images"] * 15.9375).astype(np.uint8)
  assert ours == {
    (x.tobytes(), y) for x, y in zip(theirs, bunch["target"], strict=True)
  }
  assert set(test["label"]) == set(range(10))


def _pairs(batch: dict[str, np.ndarray]):
  return zip(batch["image"], batch["label"], strict=True)


@pytest.mark.parametrize("side", [8, 16, 28])
def test_digits_come_in_sizes_that_networks_take(side):
  source = data.build(settings("digits", image_size=side, count=20), "train")
  assert source.image_shape == (side, side, 1)
  assert source.read(np.arange(20))["image"].shape == (20, side, side, 1)


def test_digits_count_takes_the_first_ones():
  whole = data.build(settings("digits"), "train")
  few = data.build(settings("digits", count=7), "train")
  np.testing.assert_array_equal(
    _all(few)["image"], whole.read(np.arange(7))["image"]
  )
  with pytest.raises(DataError, match="digits has 297 examples in split"):
    data.build(settings("digits", count=298), "test")


def test_a_shape_depends_on_split_and_index_alone():
  source = _shapes()
  whole = _all(source)
  part = _shapes(count=1000).read(np.array([17, 3, 17]))
  for key, values in part.items():
    np.testing.assert_array_equal(values, whole[key][[17, 3, 17]])
  other = _shapes("test").read(np.arange(50))["image"]
  assert (other != whole["image"][:50]).any((1, 2, 3)).mean() > 0.9


def test_labels_attributes_and_captions_tell_the_same_story():
  source = _shapes()
  batch = _all(source)
  names = [
    [choices[i] for choices, i in zip(values, row, strict=True)]
    for row in batch["attribute"]
    for values in [synthetic.ATTRIBUTES.values()]
  ]
  np.testing.assert_array_equal(batch["label"], batch["attribute"][:, 0])
  for (shape, colour, size, ground, _), text in zip(
    names, source.captions(np.arange(len(source))), strict=True
  ):
    first, *others = text.splitlines()
    assert first == f"a {size} {colour} {shape} on {ground}"
    assert len(others) == len(synthetic.PHRASES) - 1
    for line in others:
      assert {size, colour, shape, ground} <= set(re.findall(r"\w+", line))
    assert colour != ground
  for column, values in enumerate(synthetic.ATTRIBUTES.values()):
    assert set(batch["attribute"][:, column]) == set(range(len(values)))


def test_withheld_pairs_are_kept_from_train_alone():
  without = synthetic.withheld(6)
  assert len(without) == 6

  def scenes(split: str) -> set[tuple[int, int]]:
    config = settings("shapes", image_size=16, count=2000, withhold=6)
    batch = _all(synthetic.load_shapes(config, split))
    return {(int(a[0]), int(a[1])) for a in batch["attribute"]}

  every = {(s, c) for s in range(6) for c in range(8)}
  assert scenes("train") == every - without
  assert scenes("test") == every
  # Scenes of other pairs stay what they were.
  plain, bare = _shapes(), synthetic.ShapeSource("train", 300, 32, 6)
  a, b = _all(plain)["attribute"], bare.read(np.arange(len(plain)))["attribute"]
  kept = [(int(x[0]), int(x[1])) not in without for x in a]
  np.testing.assert_array_equal(a[kept], b[kept])
  assert plain.fingerprint != bare.fingerprint
  with pytest.raises(DataError, match="withhold"):
    synthetic.ShapeSource("train", 10, 32, 25)


def test_pixels_show_the_attributes():
  batch = _shapes(side=64).read(np.arange(200))
  palette = np.array(list(synthetic.COLOURS.values()))
  areas: dict[int, list[int]] = {0: [], 1: [], 2: []}
  for image, row in zip(batch["image"], batch["attribute"], strict=True):
    shape, colour, size, ground, position = row
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == palette[ground]).all()
    drawn = (image == palette[colour]).all(-1)
    centre = np.argwhere(drawn).mean(0) / 64
    cell = np.array(divmod(position, 3))
    # A triangle's mass lies below the centre of its circle.
    assert abs(centre - (0.25 + 0.25 * cell)).max() < 0.15
    if synthetic.SHAPES[shape] == "circle":
      areas[size].append(drawn.sum())
  assert max(areas[0]) < min(areas[1]) and max(areas[1]) < min(areas[2])


def test_edges_are_antialiased_and_scenes_agree_across_resolutions():
  small = _shapes(side=32).read(np.arange(40))["image"].astype(float)
  large = _shapes(side=128).read(np.arange(40))["image"].astype(float)
  reduced = large.reshape(40, 32, 4, 32, 4, 3).mean((2, 4))
  # 4 x 4 samples a pixel against 16 x 16: a few levels of 256 at edges.
  assert abs(small - reduced).mean() < 0.4
  assert abs(small - reduced).max() < 60
  colours = [len(np.unique(image.reshape(-1, 3), axis=0)) for image in small]
  assert min(colours) > 2


@pytest.mark.parametrize("side", [16, 1024])
def test_shapes_are_drawn_at_both_ends_of_the_range(side):
  source = _shapes(side=side, count=2)
  image = source.read(np.array([1]))["image"]
  assert image.shape == (1, side, side, 3)
  drawn = (image[0] != image[0, 0, 0]).any(-1)
  assert 0.01 < drawn.mean() < 0.5


@pytest.mark.parametrize("side", [8, 2048])
def test_other_sizes_and_indices_are_refused(side):
  with pytest.raises(DataError, match=f"16 to 1024 pixels.*got {side} and"):
    _shapes(side=side)
  with pytest.raises(IndexError, match="index 300 of 300"):
    _shapes().read(np.array([300]))
