"""SVHN, full numbers: a house number an image, as its authors published it.

Netzer et al. 2011. train.tar.gz, extra.tar.gz and test.tar.gz each hold a
folder of that name, with 1.png ... and digitStruct.mat (`digit_struct`).

Images become what Goodfellow et al. 2013 (arXiv:1312.6082) and DRAW train on:
the smallest rectangle around the boxes of all digits, made 30 % wider and
higher around its middle, is cut out and resized to a square, which changes its
proportions. The papers leave open what happens at the image's edges: here boxes
and rectangle end there, so that nothing is padded, and the rectangle's sides
are moved outwards to whole pixels.
"""

import math
import pathlib
import sys
import tarfile
import zlib
from collections.abc import Container, Iterator
from typing import Protocol

import numpy as np
import tqdm

from genlat.data import digit_struct
from genlat.data.decode import FILTER, decode_whole
from genlat.data.digit_struct import Number
from genlat.data.source import (
  ArraySource,
  DataError,
  Settings,
  Source,
  check_split,
)

URL = "http://ufldl.stanford.edu/housenumbers"
PARTS = {"train": ("train", "extra"), "test": ("test",)}
SIDE = 64  # pixels, unless told otherwise
WIDER = 0.3  # share of its sides by which the rectangle grows
DIGITS, NONE = 6, -1  # kept of a number, and what fills up shorter ones


def load_svhn_full(config: Settings, split: str) -> Source:
  """SVHN's full numbers, `[64, 64, 3]` unless resized.

  'attribute' is int32 `[B, 7]`: how many digits the number has, then its first
  six from the left, 0 to 9, and -1 where there are fewer.

  Args:
    config: `path` is the folder of the archives, or of their unpacked folders;
      `image_size` 0 = 64; `crop` must be 0; with `on_error='skip'` images are
      left out that cannot be decoded or whose boxes or labels are wrong.
    split: 'train' (33402 of train, then 202353 of extra) or 'test' (13068).

  Raises:
    DataError: if h5py or a file is missing, an archive is truncated, an image
      is not there that digitStruct.mat names, or an image or its boxes are
      wrong.
  """
  check_split("svhn_full", split, tuple(PARTS))
  if config.crop:
    raise DataError(
      "svhn_full cuts around the digits: set config.data.crop to 0; got"
      f" {config.crop}"
    )
  names = " and ".join(f"{part}.tar.gz" for part in PARTS[split])
  if not config.path:
    raise DataError(
      f"svhn_full needs its files: fetch {names} from {URL} (no published hash"
      " of them is known, so prepare does not) and set config.data.path, or"
      " --path of prepare, to their folder"
    )
  folder = pathlib.Path(config.path).expanduser()
  parts = [_part(folder, part) for part in PARTS[split]]  # before long reading
  known = [part.numbers() for part in parts]
  total, side = sum(map(len, known)), config.image_size or SIDE
  images = np.empty((total, side, side, 3), np.uint8)
  attributes = np.full((total, 1 + DIGITS), NONE, np.int32)
  kept, faults, start = np.ones(total, np.bool_), [], 0
  for part, numbers in zip(parts, known, strict=True):
    for i, data in _in_any_order(part, numbers):
      row, where = start + i, f"{part.path}: {part.name}/{numbers[i].name}"
      try:
        images[row] = _image(data, numbers[i], side, where)
        attributes[row] = _attribute(numbers[i], where)
      except DataError as error:
        if config.on_error == "raise":
          raise
        kept[row] = False
        faults.append(str(error))
    start += len(numbers)
  if faults:
    _report(faults, total)
    images, attributes = images[kept], attributes[kept]
  return ArraySource("svhn_full", {"image": images, "attribute": attributes})


def rectangle(
  boxes: np.ndarray, width: int, height: int
) -> tuple[int, int, int, int]:
  """What is cut out of an image.

  Args:
    boxes: `[k, 4]`, left, top, width and height of each digit, pixels.
    width: of the image, pixels.
    height: of the image, pixels.

  Returns:
    Left, top, right and bottom, the last two exclusive; at least one pixel.

  Raises:
    ValueError: if a box has no pixel in the image.
  """
  low = np.maximum(boxes[:, :2], 0)
  high = np.minimum(boxes[:, :2] + boxes[:, 2:], (width, height))
  # Written so that a number that is none is bad, too.
  bad = np.flatnonzero(~(high > low).all(1))
  if len(bad):
    raise ValueError(
      f"box {bad[0]} (left, top, width, height = {boxes[bad[0]].tolist()})"
      f" is not in the image of {width}x{height} pixels"
    )
  low, high = low.min(0), high.max(0)
  more = (high - low) * WIDER / 2
  left, top = (max(0, math.floor(x)) for x in low - more)
  right, bottom = (math.ceil(x) for x in high + more)
  return left, top, min(right, width), min(bottom, height)


def _image(data: bytes, number: Number, side: int, where: str) -> np.ndarray:
  """uint8 `[side, side, 3]` of the digits."""
  image = decode_whole(data, where)
  try:
    cut = image.crop(rectangle(number.boxes, *image.size))
  except ValueError as error:
    raise DataError(f"{where}: {error}; {_SKIP}") from error
  return np.asarray(cut.resize((side, side), FILTER))


def _attribute(number: Number, where: str) -> np.ndarray:
  """int32 `[7]`: length and digits."""
  labels = number.labels
  bad = np.flatnonzero(~np.isin(labels, np.arange(1, 11)))
  if len(bad):
    raise DataError(
      f"{where}: digit {bad[0]} has label {labels[bad[0]]:g}, expected 1 to 10"
      f" (10 = digit 0); {_SKIP}"
    )
  row = np.full(1 + DIGITS, NONE, np.int32)
  row[0] = len(labels)
  row[1 : 1 + len(labels)] = labels[:DIGITS].astype(np.int32) % 10
  return row


_SKIP = (
  "fetch the archive again, or set config.data.on_error=skip (--on_error=skip"
  " of prepare) to leave such images out"
)


def _report(faults: list[str], total: int) -> None:
  """One line about images left out; DataError if none is left."""
  if len(faults) == total:
    raise DataError(
      f"none of {total} images can be used; the first: {faults[0]}"
    )
  print(
    f"svhn_full: {len(faults)} of {total} images left out"
    f" (config.data.on_error=skip); the first: {faults[0].split(';')[0]}",
    file=sys.stderr,
    flush=True,
  )


class _Part(Protocol):
  """One of train, extra and test.

  Attributes:
    name: which.
    path: the archive, or the folder of its own.
  """

  name: str
  path: pathlib.Path

  def numbers(self) -> list[Number]:
    """All that its digitStruct.mat names; DataError if it is not there."""
    ...

  def files(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of its files of the names wanted, in any order."""
    ...


def _part(folder: pathlib.Path, name: str) -> _Part:
  """The archive, or else its unpacked folder."""
  for made, path in (
    (_Tar, folder / f"{name}.tar.gz"),
    (_Unpacked, folder / name),
  ):
    if path.exists():
      return made(name, path)
  raise DataError(
    f"{folder}: svhn_full needs {name}.tar.gz or its unpacked folder {name}"
    f" there; correct config.data.path, or {_fix(name)}"
  )


def _fix(name: str) -> str:
  return f"fetch {URL}/{name}.tar.gz again"


def _in_any_order(
  part: _Part, numbers: list[Number]
) -> Iterator[tuple[int, bytes]]:
  """Positions among `numbers` and bytes of their images, each once."""
  rows = {number.name: i for i, number in enumerate(numbers)}
  if len(rows) < len(numbers):
    raise DataError(
      f"{part.path}: {digit_struct.FILE} names {len(rows)} different images in"
      f" {len(numbers)} entries; {_fix(part.name)}"
    )
  bar = tqdm.tqdm(total=len(rows), desc=part.name, disable=None)
  with bar:
    for name, data in part.files(rows.keys()):
      if name in rows:  # An archive may hold a file twice.
        yield rows.pop(name), data
        bar.update()
  if rows:
    raise DataError(
      f"{part.path}: no {part.name}/{next(iter(rows))}, as of {len(rows)} of"
      f" {len(numbers)} images that {digit_struct.FILE} names: the archive is"
      f" truncated or was not unpacked whole; {_fix(part.name)}"
    )


class _Tar:
  """A published archive: read from end to end, twice."""

  def __init__(self, name: str, path: pathlib.Path) -> None:
    self.name, self.path = name, path

  def numbers(self) -> list[Number]:
    for _, content in self.files((digit_struct.FILE,)):
      where = f"{self.path}/{digit_struct.FILE}"
      return digit_struct.read(content, where, _fix(self.name))
    raise DataError(
      f"{self.path}: no {self.name}/{digit_struct.FILE} in it: not the archive"
      f" of full numbers, or truncated; {_fix(self.name)}"
    )

  def files(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    try:
      with tarfile.open(self.path, "r:gz") as archive:
        for member in archive:
          place = pathlib.PurePosixPath(member.name)
          here = member.isfile() and place.parent.name == self.name
          file = archive.extractfile(member) if here else None
          if file is not None and place.name in wanted:
            yield place.name, file.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
      raise DataError(
        f"{self.path}: truncated or damaged ({error}): got"
        f" {self.path.stat().st_size} bytes; {_fix(self.name)}"
      ) from error


class _Unpacked:
  """The folder that an archive unpacks to."""

  def __init__(self, name: str, path: pathlib.Path) -> None:
    self.name, self.path = name, path

  def numbers(self) -> list[Number]:
    path = self.path / digit_struct.FILE
    if not path.is_file():
      raise DataError(
        f"{self.path}: no {digit_struct.FILE} there; unpack {self.name}.tar.gz"
        f" anew, or {_fix(self.name)}"
      )
    return digit_struct.read(path.read_bytes(), str(path), _fix(self.name))

  def files(self, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(self.path.iterdir()):
      if path.name in wanted and path.is_file():
        yield path.name, path.read_bytes()
