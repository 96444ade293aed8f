"""Laws of sources, and of the table that finds them."""

import re

import numpy as np
import pytest
from data_layouts import pixels
from ml_collections import ConfigDict

from genlat import data
from genlat.data.source import ArraySource, DataError, digest


def _config(**changes: object) -> ConfigDict:
  given = {
    "name": "digits",
    "path": "",
    "image_size": 0,
    "crop": 0,
    "count": 0,
    "validation": 0.0,
    "on_error": "raise",
    "feeder": "auto",
  }
  return ConfigDict({**given, **changes})


def _source(**changes: np.ndarray) -> ArraySource:
  arrays = {
    "image": pixels(5, 4, 4, 1),
    "label": np.array([0, 1, 2, 1, 0]),
    "attribute": np.arange(10).reshape(5, 2),
  }
  return ArraySource("tiny", {**arrays, **changes}, classes=("a", "b", "c"))


def test_read_takes_rows_in_the_order_asked_and_int32():
  batch = _source().read(np.array([3, 0, 3]))
  np.testing.assert_array_equal(batch["image"], pixels(5, 4, 4, 1)[[3, 0, 3]])
  assert batch["image"].dtype == np.uint8
  assert batch["label"].tolist() == [1, 0, 1]
  assert batch["attribute"].tolist() == [[6, 7], [0, 1], [6, 7]]
  assert {batch[k].dtype.name for k in ("label", "attribute")} == {"int32"}


def test_captions_follow_the_indices_and_are_empty_without_any():
  images = {"image": pixels(3, 4, 4, 3)}
  told = ArraySource("told", images, captions=("x", "y", "z"))
  assert told.captions(np.array([2, 0])) == ["z", "x"]
  assert ArraySource("mute", images).captions(np.array([2, 0])) == ["", ""]


def test_one_changed_bit_changes_the_fingerprint():
  images = pixels(5, 4, 4, 1)
  same = _source(image=images.copy()).fingerprint
  images[4, 3, 3, 0] ^= 1
  prints = {
    _source().fingerprint,
    _source(image=images).fingerprint,
    _source(label=np.array([0, 1, 2, 1, 1])).fingerprint,
  }
  assert same in prints and len(prints) == 3


def test_digest_keeps_neighbouring_parts_apart():
  assert digest("ab", "c") != digest("a", "bc")
  flat = np.arange(4, dtype=np.uint8)
  assert digest(flat) != digest(flat.reshape(2, 2))


def test_a_label_out_of_range_is_named_with_its_place():
  with pytest.raises(
    DataError, match=r"example 3 has label 7, expected 0 to 2"
  ):
    _source(label=np.array([0, 1, 2, 7, 9]))
  with pytest.raises(DataError, match=r"example 0 has label -1"):
    _source(label=np.array([-1, 1, 2, 0, 0]))


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (np.zeros((2, 4, 4, 1), np.float32), r"got float32 \[2, 4, 4, 1\]"),
    (np.zeros((2, 4, 4), np.uint8), r"got uint8 \[2, 4, 4\]"),
    (np.zeros((2, 4, 4, 2), np.uint8), r"C = 1 or 3"),
    (np.zeros((0, 4, 4, 1), np.uint8), r"no image"),
  ],
)
def test_images_of_another_kind_are_refused(images, message):
  with pytest.raises(DataError, match=message):
    ArraySource("wrong", {"image": images})


def test_unequal_lengths_are_refused():
  with pytest.raises(DataError, match=r"'image': 5, 'label': 4"):
    _source(label=np.zeros(4, int))


def test_unknown_names_and_splits_list_the_known_ones():
  with pytest.raises(ValueError, match="unknown config.data.name 'cifar'") as e:
    data.load(_config(name="cifar"), "train")
  assert all(name in str(e.value) for name in data.DATASETS)
  with pytest.raises(ValueError, match="train, validation, test"):
    data.load(_config(), "valid")


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"crop": -1}, "0 or more; got -1, 0, 0"),
    ({"on_error": "ignore"}, "raise or skip; got 'ignore'"),
  ],
)
def test_values_out_of_range_are_refused(changes, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    data.load(_config(**changes), "train")


def test_validation_is_cut_from_train_and_from_nothing_else():
  whole = data.load(_config(), "train")
  train = data.load(_config(validation=0.2), "train")
  held = data.load(_config(validation=0.2), "validation")
  assert len(train) + len(held) == len(whole) == 1500
  assert 200 < len(held) < 400

  def rows(source: data.Source) -> list[bytes]:
    batch = source.read(np.arange(len(source)))["image"]
    return [image.tobytes() for image in batch]

  assert sorted(rows(train) + rows(held)) == sorted(rows(whole))
  test = data.load(_config(validation=0.2), "test")
  assert test.fingerprint == data.load(_config(), "test").fingerprint


def test_a_set_without_validation_says_how_to_get_one():
  with pytest.raises(DataError, match="set config.data.validation to the"):
    data.load(_config(), "validation")
