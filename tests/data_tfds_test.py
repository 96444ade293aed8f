"""Laws of TFDS sets, prepared by the test without TensorFlow, and mocked."""

import pathlib
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_layouts import encoded, pixels, settings
from tensorflow_datasets.proto import tf_example_pb2

from genlat import data
from genlat.data.source import DataError

COUNTS = {"train": 6, "test": 3}


def _prepare(data_dir: pathlib.Path, kind: str = "array_record") -> None:
  """Writes MNIST as `tfds build` would, a few images of it."""
  from array_record.python import array_record_module

  builder = tfds.builder("mnist", data_dir=str(data_dir), file_format=kind)
  folder = pathlib.Path(builder.data_dir)
  folder.mkdir(parents=True)
  splits = []
  for split, count in COUNTS.items():
    path = folder / f"mnist-{split}.{kind}-00000-of-00001"
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for i, image in enumerate(pixels(count, 28, 28)):
      example = tf_example_pb2.Example()
      values = example.features.feature
      values["image"].bytes_list.value.append(encoded(image))
      values["label"].int64_list.value.append(9 - i)
      writer.write(example.SerializeToString())
    writer.close()
    template = tfds.core.ShardedFileTemplate(
      dataset_name="mnist",
      data_dir=builder.data_dir,
      split=split,
      filetype_suffix=kind,
    )
    splits.append(
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[count],
        num_bytes=path.stat().st_size,
        filename_template=template,
      )
    )
  builder.info.set_splits(tfds.core.splits.SplitDict(splits))
  builder.info.write_to_directory(builder.data_dir)


def test_a_prepared_set_is_read_without_tensorflow(tmp_path):
  _prepare(tmp_path)
  for split, count in COUNTS.items():
    source = data.build(settings("tfds:mnist", tmp_path), split)
    assert len(source) == count and source.image_shape == (28, 28, 1)
    assert source.classes == tuple("0123456789")
    batch = source.read(np.array([2, 0]))
    np.testing.assert_array_equal(
      batch["image"][..., 0], pixels(count, 28, 28)[[2, 0]]
    )
    assert batch["label"].tolist() == [7, 9]
    assert source.captions(np.arange(2)) == ["", ""]
  assert "tensorflow" not in sys.modules


def test_size_and_split_are_part_of_the_fingerprint(tmp_path):
  _prepare(tmp_path)
  small = settings("tfds:mnist", tmp_path, image_size=16)
  plain = settings("tfds:mnist", tmp_path)
  assert data.build(small, "train").image_shape == (16, 16, 1)
  assert data.build(small, "train").read(np.arange(2))["image"].shape == (
    *(2, 16, 16, 1),
  )
  prints = {
    data.build(wanted, split).fingerprint
    for wanted in (small, plain)
    for split in COUNTS
  }
  assert len(prints) == 4


def test_the_mock_of_tfds_is_read_like_a_set():
  with tfds.testing.mock_data(num_examples=5):
    source = data.build(settings("tfds:mnist"), "train")
    batch = source.read(np.arange(5))
  assert len(source) == 5
  assert batch["image"].shape == (5, 28, 28, 1)
  assert batch["image"].dtype == np.uint8 and batch["label"].max() < 10


@pytest.mark.parametrize("kind", ["nothing", "tfrecord"])
def test_an_unprepared_set_names_the_extra_and_the_command(tmp_path, kind):
  if kind == "tfrecord":
    _prepare(tmp_path, kind)
  with pytest.raises(DataError) as error:
    data.build(settings("tfds:mnist", tmp_path), "train")
  line = str(error.value)
  assert "\n" not in line
  assert "pip install 'genlat[tfds]'" in line
  assert (
    f"tfds build mnist --file_format=array_record --data_dir={tmp_path}" in line
  )


def test_unknown_sets_and_splits_are_one_line(tmp_path):
  _prepare(tmp_path)
  for name, split, message in (
    ("tfds:nonesuch", "train", "TFDS knows no set 'nonesuch'"),
    ("tfds:", "train", "lacks a set; write tfds:mnist"),
    ("tfds:mnist", "validation", "Unknown split 'validation'"),
  ):
    with pytest.raises(DataError, match=message) as error:
      data.build(settings(name, tmp_path), split)
    assert "\n" not in str(error.value)


def test_a_damaged_shard_is_one_line(tmp_path):
  _prepare(tmp_path)
  (path,) = tmp_path.rglob("mnist-train*")
  path.write_bytes(path.read_bytes()[:100])
  source = data.build(settings("tfds:mnist", tmp_path), "train")
  with pytest.raises(DataError, match="example 1 of 6 cannot be read"):
    source.read(np.array([1]))


def test_sets_that_are_not_images_are_refused():
  with tfds.testing.mock_data(num_examples=2):
    with pytest.raises(DataError, match="has no feature 'image', only"):
      data.build(settings("tfds:imdb_reviews"), "train")
    with pytest.raises(DataError, match="images of many sizes"):
      data.build(settings("tfds:oxford_flowers102"), "train")
