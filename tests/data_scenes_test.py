"""Laws of scenes made of MNIST's digits."""

import numpy as np
import pytest
from data_layouts import settings, write_idx

from genlat import data
from genlat.data import scenes
from genlat.data.source import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Twelve digits, each of one grey level: 20 x its label + 15."""
  labels = np.arange(12, dtype=np.uint8) % 10
  images = np.broadcast_to(
    (20 * labels + 15)[:, None, None], (12, 28, 28)
  ).astype(np.uint8)
  return write_idx(tmp_path_factory.mktemp("mnist"), images, labels)


def test_two_digits_are_added_and_cut_at_white(folder):
  source = data.build(settings("two_digits", folder, count=200), "train")
  assert len(source) == 200 and source.image_shape == (60, 60, 1)
  batch = source.read(np.arange(200))
  assert batch["attribute"].shape == (200, 2)
  places = set()
  for image, (a, b) in zip(batch["image"], batch["attribute"], strict=True):
    levels = set(np.unique(image)) - {0}
    one, other = 20 * int(a) + 15, 20 * int(b) + 15
    assert levels <= {one, other, min(one + other, 255)}
    overlap = np.isin(image, [min(one + other, 255)]).sum()
    if one != other and min(one + other, 255) not in (one, other):
      total = (image == one).sum() + (image == other).sum() + 2 * overlap
      assert total == 2 * 28 * 28
    rows, columns, _ = np.nonzero(image)
    places.add((rows.min(), columns.min(), rows.max(), columns.max()))
  edges = np.array(list(places))
  assert edges.min(0)[:2].max() <= 2
  assert edges.max() >= 57
  assert len(places) > 100


def test_a_digit_stands_among_pieces_of_others(folder):
  source = data.build(settings("cluttered_mnist", folder, count=50), "test")
  assert source.image_shape == (100, 100, 1) and source.classes[3] == "3"
  batch = source.read(np.arange(50))
  areas = []
  for image, label in zip(batch["image"], batch["label"], strict=True):
    level = 20 * int(label) + 15
    # The digit is there as a whole: nothing takes from it.
    seen = (image[..., 0] >= level).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(seen, (28, 28))
    assert windows.all((-1, -2)).any()
    covered = (image > 0).sum()
    assert 28 * 28 <= covered <= 28 * 28 + scenes.PIECES * scenes.PIECE**2
    areas.append(covered)
  # Eight pieces on a hundred pixels a side mostly lie beside the digit.
  assert np.mean(areas) > 28 * 28 + 4 * scenes.PIECE**2


def test_a_scene_depends_on_set_split_and_index_alone(folder):
  few = data.build(settings("two_digits", folder, count=9), "train")
  many = data.build(settings("two_digits", folder, count=90), "train")
  rows = np.array([8, 2, 8])
  np.testing.assert_array_equal(
    few.read(rows)["image"], many.read(np.arange(90))["image"][rows]
  )
  test = data.build(settings("two_digits", folder, count=9), "test")
  assert (test.read(rows)["image"] != few.read(rows)["image"]).any()
  assert len({few.fingerprint, many.fingerprint, test.fingerprint}) == 3
  plain = data.build(settings("two_digits", folder), "train")
  assert len(plain) == 12
  with pytest.raises(IndexError):
    few.read(np.array([9]))


def test_sizes_that_cannot_be_are_refused(folder):
  with pytest.raises(DataError, match="60 x 60"):
    data.build(settings("two_digits", folder, image_size=28), "train")
