"""Laws of CelebA, on small archives of its official layout."""

import pathlib

import numpy as np
import pytest
from data_layouts import encoded, pixels, settings, write_files, write_zip

from genlat import data
from genlat.data.decode import FILTER
from genlat.data.source import DataError

N = 8
PARTITION = [0, 0, 1, 2, 0, 2, 0, 1]
NAMES = [f"{i + 1:06d}.jpg" for i in range(N)]


def _images() -> dict[str, bytes]:
  faces = pixels(N, 218, 178, 3)
  return {
    f"img_align_celeba/{name}": encoded(face, "JPEG")
    for name, face in zip(NAMES, faces, strict=True)
  }


def _lists() -> dict[str, bytes]:
  lines = [f"{n} {p}" for n, p in zip(NAMES, PARTITION, strict=True)]
  rows = [
    f"{name} {' '.join('1' if i >> bit & 1 else '-1' for bit in range(3))}"
    for i, name in enumerate(NAMES)
  ]
  attributes = [str(N), "Bald Smiling Young ", *rows]
  return {
    "list_eval_partition.txt": ("\n".join(lines) + "\n").encode(),
    "list_attr_celeba.txt": ("\r\n".join(attributes) + "\r\n").encode(),
  }


def _archive(tmp_path: pathlib.Path) -> pathlib.Path:
  write_zip(tmp_path / "img_align_celeba.zip", _images())
  return write_files(tmp_path, _lists())


@pytest.mark.parametrize(
  ("split", "rows"),
  [("train", [0, 1, 4, 6]), ("validation", [2, 7]), ("test", [3, 5])],
)
def test_the_partition_file_decides_the_splits(tmp_path, split, rows):
  wanted = settings("celeba", _archive(tmp_path), crop=160, image_size=64)
  source = data.build(wanted, split)
  assert len(source) == len(rows) and source.image_shape == (64, 64, 3)
  batch = source.read(np.arange(len(rows)))
  assert batch["attribute"].tolist() == [
    [i >> bit & 1 for bit in range(3)] for i in rows
  ]
  assert batch["attribute"].dtype == np.int32 and "label" not in batch


def test_the_default_crop_is_the_central_160_resized_to_64(tmp_path):
  import io

  from PIL import Image

  wanted = settings("celeba", _archive(tmp_path), crop=160, image_size=64)
  image = data.build(wanted, "train").read(np.array([1]))["image"][0]
  with Image.open(io.BytesIO(_images()[f"img_align_celeba/{NAMES[1]}"])) as im:
    expected = im.crop((9, 29, 169, 189)).resize((64, 64), FILTER)
  np.testing.assert_array_equal(image, np.asarray(expected))


def test_every_layout_of_the_archive_is_the_same_data(tmp_path):
  lists = _lists()
  nested = tmp_path / "nested"
  write_zip(nested / "Img" / "img_align_celeba.zip", _images())
  write_files(
    nested,
    {
      "Eval/list_eval_partition.txt": lists["list_eval_partition.txt"],
      "Anno/list_attr_celeba.txt": lists["list_attr_celeba.txt"],
    },
  )
  unpacked = write_files(tmp_path / "unpacked", _images() | lists)
  (tmp_path / "zip").mkdir()
  prints = {
    data.build(settings("celeba", place, image_size=64), "train").fingerprint
    for place in (nested, unpacked, _archive(tmp_path / "zip"))
  }
  assert len(prints) == 1


def test_attributes_are_optional(tmp_path):
  folder = _archive(tmp_path)
  (folder / "list_attr_celeba.txt").unlink()
  source = data.build(settings("celeba", folder, image_size=64), "train")
  assert set(source.read(np.array([0]))) == {"image"}


@pytest.mark.parametrize(
  ("file", "content", "message"),
  [
    ("list_eval_partition.txt", b"000001.jpg 3\n", "line 1: expected 'FILE 0"),
    ("list_eval_partition.txt", b"000001.jpg\n", "line 1: expected 'FILE 0"),
    ("list_eval_partition.txt", b"000099.jpg 0\n", "000099.jpg of list_eval"),
    ("list_eval_partition.txt", b"000003.jpg 1\n", "no image in split 'train'"),
    ("list_attr_celeba.txt", b"9\nA\n000001.jpg 1\n", "expected 9 rows.*got 1"),
    ("list_attr_celeba.txt", b"1\nA B\n000001.jpg 1\n", "expected 2 values"),
    ("list_attr_celeba.txt", b"1\nA\n000001.jpg 1\n", "no line for 000002.jpg"),
    ("img_align_celeba.zip", b"PK", "not a whole .zip archive"),
  ],
)
def test_damaged_files_are_named(tmp_path, file, content, message):
  folder = _archive(tmp_path)
  (folder / file).write_bytes(content)
  with pytest.raises(DataError, match=message):
    data.build(settings("celeba", folder), "train")


@pytest.mark.parametrize(
  "file", ["list_eval_partition.txt", "img_align_celeba.zip"]
)
def test_missing_files_are_named(tmp_path, file):
  folder = _archive(tmp_path)
  (folder / file).unlink()
  with pytest.raises(DataError, match=f"celeba needs {file}"):
    data.build(settings("celeba", folder), "train")
  with pytest.raises(DataError, match="set config.data.path"):
    data.build(settings("celeba"), "train")
