"""CIFAR-10 from the files its authors published, in either version.

Binary version: data_batch_1.bin to _5.bin and test_batch.bin, 10000 rows each
of one label byte and 3072 bytes of red, green and blue planes. Python version:
the same names without .bin, read by `inert_pickle`, which runs nothing.
"""

import pathlib
import tarfile
import zlib

import numpy as np

from genlat.data import inert_pickle, originals
from genlat.data.decode import Recipe, fit_array
from genlat.data.source import (
  ArraySource,
  DataError,
  Settings,
  Source,
  check_split,
)

CLASSES = (
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
)
ROWS = 10_000  # of every batch file
_PIXELS = 3 * 32 * 32
_BATCHES = {
  "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
  "test": ("test_batch",),
}
_PLACES = (
  *("cifar-10-batches-bin", "cifar-10-batches-py"),
  *("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"),
)


def load_cifar10(config: Settings, split: str) -> Source:
  """CIFAR-10, `[32, 32, 3]` unless resized, in the order of the files.

  Args:
    config: `path` is the archive (.tar.gz), or the folder of it, of the
      unpacked folder, or of the batch files themselves.
    split: 'train' (50000) or 'test' (10000).

  Raises:
    DataError: if a file is missing, truncated, or not of CIFAR-10.
  """
  check_split("cifar10", split, tuple(_BATCHES))
  path = originals.data_folder("cifar10", config.path)
  names = _BATCHES[split]
  found = _files(path, names)
  batches = []
  for name in names:
    if f"{name}.bin" in found:
      batches.append(_binary(found[f"{name}.bin"], f"{path}: {name}.bin"))
    else:
      batches.append(_python(found[name], f"{path}: {name}"))
  labels, rows = zip(*batches, strict=True)
  planes = np.concatenate(rows).reshape(-1, 3, 32, 32)
  images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
  recipe = Recipe(config.crop, config.image_size)
  return ArraySource(
    "cifar10",
    {
      "image": fit_array(images, recipe, "cifar10"),
      "label": np.concatenate(labels),
    },
    classes=CLASSES,
  )


def _files(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, bytes]:
  """The batch files by name, all of one version."""
  places = [path]
  if path.is_dir():
    places += [path / place for place in _PLACES if (path / place).exists()]
  versions = ([f"{name}.bin" for name in names], list(names))
  for place in places:
    for wanted in versions:
      found = (_folder if place.is_dir() else _archive)(place, wanted)
      if len(found) == len(wanted):
        return found
  raise DataError(
    f"{path}: no complete CIFAR-10 there: expected {names[0]}.bin"
    f"{f' to {names[-1]}.bin' if len(names) > 1 else ''}, the same without"
    " .bin, or an archive of them; correct config.data.path, or"
    f" {originals.fetch_hint('cifar10')}"
  )


def _folder(folder: pathlib.Path, wanted: list[str]) -> dict[str, bytes]:
  paths = [folder / name for name in wanted]
  if not all(path.is_file() for path in paths):
    return {}
  return {path.name: path.read_bytes() for path in paths}


def _archive(path: pathlib.Path, wanted: list[str]) -> dict[str, bytes]:
  """Members of a .tar.gz by their last name; nothing is unpacked to disk."""
  found: dict[str, bytes] = {}
  try:
    with tarfile.open(path, "r:gz") as archive:
      for member in archive:
        name = member.name.rsplit("/", 1)[-1]
        content = archive.extractfile(member) if name in wanted else None
        if content is not None:
          found[name] = content.read()
  except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
    raise DataError(
      f"{path}: truncated or damaged archive ({error}): got"
      f" {path.stat().st_size} bytes{originals.size_hint('cifar10', path.name)}"
      f"; {originals.fetch_hint('cifar10')}"
    ) from error
  return found


def _binary(data: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
  """Labels `[ROWS]` and planes `[ROWS, 3072]` of a binary batch."""
  expected = ROWS * (1 + _PIXELS)
  if len(data) != expected:
    raise DataError(
      f"{where}: truncated or damaged: expected {expected} bytes, got"
      f" {len(data)}; {originals.fetch_hint('cifar10')}"
    )
  rows = np.frombuffer(data, np.uint8).reshape(ROWS, 1 + _PIXELS)
  return rows[:, 0], rows[:, 1:]


def _python(data: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
  """Labels `[ROWS]` and planes `[ROWS, 3072]` of a pickled batch."""
  batch = inert_pickle.read(data, where, originals.fetch_hint("cifar10"))
  planes, labels = batch.get("data"), batch.get("labels")
  right = isinstance(planes, np.ndarray) and planes.shape == (ROWS, _PIXELS)
  if not right or not isinstance(labels, list) or len(labels) != ROWS:
    raise DataError(
      f"{where}: expected 'data' uint8 [{ROWS}, {_PIXELS}] and {ROWS} 'labels'"
      f" in the batch, got keys {sorted(map(str, batch))};"
      f" {originals.fetch_hint('cifar10')}"
    )
  if not all(type(label) is int for label in labels):
    raise DataError(
      f"{where}: labels that are not integers;"
      f" {originals.fetch_hint('cifar10')}"
    )
  assert isinstance(planes, np.ndarray)
  return np.array(labels, np.int64), planes
