"""Image files below a folder or inside a .zip, by relative name."""

import os
import pathlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from genlat.data.source import LEAVE_OUT, DataError

SUFFIXES = (
  *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"),
  *(".tif", ".tiff", ".ppm", ".pgm"),
)


@dataclass
class Labelled:
  """Names of image files with what is known about them.

  Attributes:
    names: of files in an archive.
    classes: names of the labels.
    arrays: 'label' and 'attribute', one row per name, where there are any.
    captions: one sentence per name, or none.
  """

  names: list[str]
  classes: tuple[str, ...] = ()
  arrays: dict[str, np.ndarray] = field(default_factory=dict)
  captions: list[str] = field(default_factory=list)

  def keep(self, rows: Sequence[int]) -> "Labelled":
    """Those at `rows` only."""
    return Labelled(
      [self.names[i] for i in rows],
      self.classes,
      {key: value[list(rows)] for key, value in self.arrays.items()},
      [self.captions[i] for i in rows] if self.captions else [],
    )


class Archive(Protocol):
  """Random access to files by name, from any thread.

  Attributes:
    path: the folder or .zip.
    sizes: bytes of every image file by its name, names sorted and parted by
      '/', hidden files left out.
  """

  path: pathlib.Path
  sizes: dict[str, int]

  def read(self, name: str) -> bytes:
    """The bytes of one file.

    Raises:
      DataError: if it cannot be read.
    """
    ...

  def text(self, name: str) -> str | None:
    """A text file of UTF-8, or None where there is none of this name."""
    ...

  def checksum(self, name: str) -> int:
    """CRC-32 of the bytes of one file, the same in a .zip and unpacked.

    Raises:
      DataError: if it cannot be read.
    """
    ...


def open_archive(path: str, what: str) -> Archive:
  """Opens a folder, or a .zip.

  Args:
    path: `config.data.path`.
    what: name of the data set, for the error.

  Raises:
    DataError: if nothing is there, it is neither, or holds no image.
  """
  if not path:
    raise DataError(
      f"{what} needs images: set config.data.path to a folder or .zip of them"
    )
  place = pathlib.Path(path).expanduser()
  if not place.exists():
    raise DataError(
      f"{place}: no such folder or file; correct config.data.path"
    )
  archive = Folder(place) if place.is_dir() else Zip(place)
  if not archive.sizes:
    raise DataError(
      f"{place}: no image file in it (looked for {' '.join(SUFFIXES)}); correct"
      " config.data.path"
    )
  return archive


def _wanted(name: str) -> bool:
  """Whether a name is that of an image and no part of it is hidden."""
  parts = name.split("/")
  hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
  return name.lower().endswith(SUFFIXES) and not hidden


class Folder:
  """The image files below a folder."""

  def __init__(self, path: pathlib.Path) -> None:
    """Lists the files; reads none."""
    self.path = path
    sizes = {}
    for folder, _, files in os.walk(path):
      base = pathlib.Path(folder).relative_to(path)
      for file in files:
        name = (base / file).as_posix()
        if _wanted(name):
          sizes[name] = os.stat(os.path.join(folder, file)).st_size
    self.sizes = dict(sorted(sizes.items()))

  def read(self, name: str) -> bytes:
    """The bytes of one file; DataError if it is gone."""
    try:
      return (self.path / name).read_bytes()
    except OSError as error:
      raise DataError(
        f"{self.path / name}: cannot be read ({error.strerror}); put the file"
        f" back, or {LEAVE_OUT}"
      ) from error

  def text(self, name: str) -> str | None:
    """A text file, or None."""
    if not (self.path / name).is_file():
      return None
    return _decoded(self.read(name), f"{self.path / name}")

  def checksum(self, name: str) -> int:
    """CRC-32 of one file."""
    return zlib.crc32(self.read(name))


class Zip:
  """The image files inside a .zip."""

  def __init__(self, path: pathlib.Path) -> None:
    """Lists the files; reads none. DataError if the archive is damaged."""
    self.path = path
    try:
      self._zip = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
      raise DataError(
        f"{path}: not a whole .zip archive ({error}): its list of files, at"
        f" the end, is missing among {path.stat().st_size} bytes; copy or fetch"
        " it again"
      ) from error
    infos = (info for info in self._zip.infolist() if _wanted(info.filename))
    found = {info.filename: info for info in infos}
    self.sizes = {name: found[name].file_size for name in sorted(found)}
    self._checksums = {name: info.CRC for name, info in found.items()}

  def read(self, name: str) -> bytes:
    """The bytes of one file; DataError if it fails its CRC."""
    try:
      return self._zip.read(name)
    except Exception as error:  # zlib, zipfile, or RuntimeError if encrypted
      raise DataError(
        f"{self.path}: {name}: damaged in the archive ({error}), expected"
        f" {self.sizes.get(name, 0)} bytes; copy or fetch the archive again, or"
        f" {LEAVE_OUT}"
      ) from error

  def text(self, name: str) -> str | None:
    """A text file, or None."""
    if name not in self._zip.namelist():
      return None
    return _decoded(self.read(name), f"{self.path}: {name}")

  def checksum(self, name: str) -> int:
    """CRC-32 of one file, as the archive states it."""
    return self._checksums[name]


def _decoded(data: bytes, where: str) -> str:
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise DataError(f"{where}: not UTF-8 ({error}); convert it") from error
