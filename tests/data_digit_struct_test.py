"""Laws of digitStruct.mat: what is published is read, all else is refused."""

import io

import h5py
import numpy as np
import pytest
from data_layouts import digit_struct

from genlat.data import digit_struct as reader
from genlat.data.source import DataError

NUMBERS = {
  "1.png": [(10, 3, 7, 12, 5), (18, 3, 7, 12, 10)],
  "22.png": [(-1.5, 4, 8, 16, 7)],
}


def test_a_number_has_one_box_a_digit_as_stored():
  one, two = reader.read(digit_struct(NUMBERS), "x.mat", "again")
  assert (one.name, two.name) == ("1.png", "22.png")
  assert one.boxes.tolist() == [[10, 3, 7, 12], [18, 3, 7, 12]]
  assert one.labels.tolist() == [5, 10]
  assert two.boxes.tolist() == [[-1.5, 4, 8, 16]]
  assert two.labels.tolist() == [7]


def edited(change) -> bytes:
  """The boxes of test, after `change(file)`."""
  buffer = io.BytesIO(digit_struct(NUMBERS))
  with h5py.File(buffer, "r+") as file:
    change(file)
  return buffer.getvalue()


def rename(text: str):
  def change(file: h5py.File) -> None:
    codes = np.array([[ord(letter)] for letter in text], np.uint16)
    file["digitStruct/name"][0, 0] = file.create_dataset("x", data=codes).ref

  return change


def external(file: h5py.File) -> None:
  del file["#refs#/b0/left"]
  file["#refs#/b0/left"] = h5py.ExternalLink("other.mat", "/left")


def outside(file: h5py.File) -> None:
  storage = [("/etc/hostname", 0, 8)]
  other = file.create_dataset("x", (1, 1), "f8", external=storage)
  file["#refs#/b0/left"][0, 0] = other.ref


def virtual(file: h5py.File) -> None:
  layout = h5py.VirtualLayout((1, 1), "f8")
  layout[:] = h5py.VirtualSource("other.mat", "left", (1, 1))
  other = file.create_virtual_dataset("x", layout)
  file["#refs#/b0/left"][0, 0] = other.ref


def empty(file: h5py.File) -> None:
  file["digitStruct/bbox"][0, 0] = h5py.Reference()


def not_a_group(file: h5py.File) -> None:
  file["digitStruct/bbox"][0, 0] = file["digitStruct/name"].ref


def unequal(file: h5py.File) -> None:
  del file["#refs#/b0/top"]
  file["#refs#/b0"].create_dataset("top", data=np.ones((1, 1)))


def large(file: h5py.File) -> None:
  big = file.create_dataset("x", (2**40, 1), "f8", chunks=(2**20, 1))
  file["#refs#/b0/left"][0, 0] = big.ref


def no_width(file: h5py.File) -> None:
  del file["#refs#/b0/width"]


def no_struct(file: h5py.File) -> None:
  del file["digitStruct"]


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (rename("../1.png"), r"image 0 has the name '\.\./1\.png'"),
    (rename(".hidden"), "image 0 has the name"),
    (rename("a\0b"), "image 0 has the name"),
    (external, "image 0 has its left elsewhere"),
    (outside, "image 0 has an array in another file"),
    (virtual, "image 0 has an array in another file"),
    (empty, "image 0 has an empty reference"),
    (not_a_group, "image 0 is no group"),
    (unequal, "image 0 has unequal columns"),
    (large, "image 0 has 1099511627776 entries"),
    (no_width, "image 0 has no width"),
    (no_struct, "the file has no digitStruct"),
  ],
)
def test_a_structure_that_is_not_the_published_one_is_refused(change, match):
  with pytest.raises(DataError, match=rf"x\.mat: truncated.*{match}.*; again"):
    reader.read(edited(change), "x.mat", "again")


def test_a_damaged_structure_is_named():
  content = digit_struct(NUMBERS)
  for bad in (b"", content[:600], content[: len(content) // 2]):
    match = rf"x\.mat: truncated or damaged.*got {len(bad)} bytes; again"
    with pytest.raises(DataError, match=match):
      reader.read(bad, "x.mat", "again")
