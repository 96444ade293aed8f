"""digitStruct.mat of SVHN's full numbers: MATLAB 7.3, which is HDF5.

/digitStruct holds two columns of object references, `name` and `bbox`. A name
is a column of uint16, one a character. A bbox is a group of `height`, `left`,
`top`, `width` and `label`, each `[1, 1]` where the number has one digit, else
a column of references to such arrays. Pixels count from 0, as the authors'
see_bboxes.m counts them; label 10 stands for the digit 0.

Only what lies in the file itself is followed: HDF5 could name other files.
"""

import math
import pathlib
from typing import Any, NamedTuple

import numpy as np
import tqdm

from genlat.data.source import DataError

FILE = "digitStruct.mat"
BOX = ("left", "top", "width", "height")
# What a sound file stays below: a damaged or hostile one is not read for long.
_MOST_IMAGES, _MOST_DIGITS, _MOST_LETTERS = 10**7, 100, 255


class Number(NamedTuple):
  """What is known of one image.

  Attributes:
    name: of its file, such as '1.png'.
    boxes: float64 `[k, 4]`, left, top, width and height of each digit in
      pixels; as stored, so they may stick out of the image.
    labels: float64 `[k]`, of the same digits, as stored.
  """

  name: str
  boxes: np.ndarray
  labels: np.ndarray


def read(content: bytes, where: str, fix: str) -> list[Number]:
  """Reads a digitStruct.mat.

  Args:
    content: the bytes of the file.
    where: the file, for errors.
    fix: the way out, for errors.

  Returns:
    The images in the file's order.

  Raises:
    DataError: if h5py is not installed, or the file is truncated, damaged or
      of another structure.
  """
  try:
    import h5py
  except ImportError as error:
    raise DataError(
      f"{where} is HDF5, which h5py reads: pip install 'genlat[svhn]'"
    ) from error
  try:
    with h5py.File.in_memory(content) as file:
      return _Reader(h5py, file.id).numbers(pathlib.PurePath(where).parent.name)
  except Exception as error:  # h5py raises anything on a damaged file
    reason = " ".join(str(error).split())[:200]
    raise DataError(
      f"{where}: truncated or damaged, or not of SVHN's full numbers"
      f" ({reason}): got {len(content)} bytes; {fix}"
    ) from error


class _Reader:
  """Follows the references of one open file; ValueError where one is wrong.

  It calls h5py's lower interface: the published files have millions of
  references, and the higher one takes several times as long.
  """

  def __init__(self, h5py: Any, file: Any) -> None:
    self._h5py, self._file = h5py, file
    self._integer = (h5py.h5t.INTEGER,)
    self._number = (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
    self._reference = (h5py.h5t.REFERENCE,)

  def numbers(self, title: str) -> list[Number]:
    """All images; a progress bar of this title on a terminal."""
    root = self._h5py.h5g.open(self._file, b"/")
    top = self._member(root, "digitStruct", "the file")
    names, boxes = (
      self._array(
        self._member(top, key, "digitStruct"),
        self._reference,
        _MOST_IMAGES,
        f"digitStruct.{key}",
      )
      for key in ("name", "bbox")
    )
    if len(names) != len(boxes):
      raise ValueError(f"{len(names)} names and {len(boxes)} boxes")
    bar = tqdm.tqdm(names, desc=f"{title}: {FILE}", disable=None)
    return [
      self._entry(name, boxes[i], f"image {i}") for i, name in enumerate(bar)
    ]

  def _entry(self, name: Any, box: Any, what: str) -> Number:
    group = self._follow(box, what)
    columns = {key: self._column(group, key, what) for key in (*BOX, "label")}
    counts = {key: len(value) for key, value in columns.items()}
    if len(set(counts.values())) > 1:
      raise ValueError(f"{what} has unequal columns: {counts}")
    boxes = np.stack([columns[key] for key in BOX], 1)
    return Number(self._text(name, what), boxes, columns["label"])

  def _text(self, reference: Any, what: str) -> str:
    """A plain name: it is later looked up in a folder or an archive."""
    data = self._follow(reference, what)
    codes = self._array(data, self._integer, _MOST_LETTERS, what)
    name = "".join(chr(int(code)) for code in codes)
    if not name.isprintable() or name.startswith(".") or set(name) & set("/\\"):
      raise ValueError(f"{what} has the name {name!r}")
    return name

  def _column(self, group: Any, key: str, what: str) -> np.ndarray:
    """One number a digit, float64 `[k]`."""
    data = self._member(group, key, what)
    kinds = self._number + self._reference
    found = self._array(data, kinds, _MOST_DIGITS, what)
    if found.dtype != object:
      return found
    parts = [
      self._array(self._follow(reference, what), self._number, 1, what)
      for reference in found
    ]
    return np.concatenate(parts)

  def _member(self, group: Any, key: str, what: str) -> Any:
    """What lies in a group by name, and in this file."""
    name, links = key.encode(), self._h5py.h5l
    if not isinstance(group, self._h5py.h5g.GroupID):
      raise ValueError(f"{what} is no group")
    if not group.links.exists(name):
      raise ValueError(f"{what} has no {key}")
    if group.links.get_info(name).type != links.TYPE_HARD:
      raise ValueError(f"{what} has its {key} elsewhere")
    return self._h5py.h5o.open(group, name)

  def _follow(self, reference: Any, what: str) -> Any:
    if not reference:
      raise ValueError(f"{what} has an empty reference")
    return self._h5py.h5r.dereference(reference, self._file)

  def _array(
    self, data: Any, kinds: tuple[int, ...], most: int, what: str
  ) -> np.ndarray:
    """All of a dataset: float64 `[n]`, or references `[n]`, n from 1."""
    h5py = self._h5py
    if not isinstance(data, h5py.h5d.DatasetID):
      raise ValueError(f"{what} lacks an array")
    size = math.prod(data.shape)
    kind = data.get_type().get_class()
    if kind not in kinds or not 0 < size <= most:
      raise ValueError(f"{what} has {size} entries of {data.dtype}")
    plan = data.get_create_plist()
    virtual = plan.get_layout() == h5py.h5d.VIRTUAL
    if virtual or plan.get_external_count():
      raise ValueError(f"{what} has an array in another file")
    linked = kind == h5py.h5t.REFERENCE
    values = np.empty(data.shape, h5py.ref_dtype if linked else np.float64)
    data.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values.reshape(-1)
