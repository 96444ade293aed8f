"""Any folder or .zip of images.

Order: names sorted. A folder around everything is looked through. Splits: the
sub-folders train, test and (optional) validation where there is a train;
otherwise a fixed hash of each name puts a tenth into test. Classes: the names
of the sub-folders, where every image lies in exactly one and there are at
least two. Captions: of `captions.csv` (`captioned`), else those names. Images
become RGB, their central square is cut and resized
(`decode`).
"""

import os
import sys
from concurrent import futures

import numpy as np

from genlat.data import captioned
from genlat.data.archive import Archive, Labelled, open_archive
from genlat.data.decode import Recipe, decode
from genlat.data.source import (
  DataError,
  Settings,
  Source,
  check_split,
  digest,
  share,
)

SPLITS = ("train", "validation", "test")
TEST_SHARE = 0.1
_THREADED_FROM = 512  # images; below, threads cost more than they bring
CHECKED = 1000  # files at most whose content enters the fingerprint


def load_folder(config: Settings, split: str) -> Source:
  """A folder or .zip of images.

  Args:
    config: `path`; `crop` and `image_size` in pixels; `on_error`.
    split: 'train', 'test', or 'validation' where there is such a folder.

  Raises:
    DataError: if there is no image, or none in this split, and, with
      `on_error='raise'`, on reading a corrupt or too small one.
  """
  archive = open_archive(config.path, config.name)
  files = arrange(list(archive.sizes), split, str(archive.path))
  table = None
  for level in range(_root(list(archive.sizes)) + 1):  # a folder around all
    around = next(iter(archive.sizes)).split("/")[:level]
    table = table or archive.text("/".join([*around, captioned.TABLE]))
  if table is not None:
    files = captioned.tell(files, table, str(archive.path))
  return FileSource(config.name, archive, files, config)


def arrange(names: list[str], split: str, where: str) -> Labelled:
  """Chooses the files of one split and reads labels off their folders.

  Args:
    names: sorted names of all image files.
    split: the split wanted.
    where: the folder or archive, for the error.

  Raises:
    DataError: if the split is empty.
  """
  depth = _root(names)
  paths = {name: name.split("/")[depth:] for name in names}
  by_folder = any(len(p) > 1 and p[0] == "train" for p in paths.values())
  if by_folder:
    known = tuple(s for s in SPLITS if any(p[0] == s for p in paths.values()))
    check_split(where, split, known)
    chosen = [name for name in names if paths[name][0] == split]
    paths = {name: p[1:] for name, p in paths.items() if p[0] in SPLITS}
  else:
    check_split(where, split, ("train", "test"))
    held = {n: share("test", "/".join(paths[n])) < TEST_SHARE for n in names}
    chosen = [name for name in names if held[name] == (split == "test")]
  if not chosen:
    raise DataError(
      f"{where}: none of {len(names)} images is in split '{split}'; add images,"
      " or sort them into sub-folders train and test"
    )
  classes = _classes(list(paths.values()))
  if not classes:
    return Labelled(chosen)
  number = {name: i for i, name in enumerate(classes)}
  labels = [number[paths[name][0]] for name in chosen]
  captions = [classes[label].replace("_", " ") for label in labels]
  arrays = {"label": np.array(labels, np.int32)}
  return Labelled(chosen, classes, arrays, captions)


def _root(names: list[str]) -> int:
  """How many folders lie around everything; a split's is not one of them."""
  parts = [name.split("/")[:-1] for name in names]
  depth = 0
  for level in zip(*parts, strict=False):
    if len(set(level)) > 1 or level[0] in SPLITS:
      break
    depth += 1
  return depth


def _classes(paths: list[list[str]]) -> tuple[str, ...]:
  """Names of the sub-folders, if every file lies in one of at least two."""
  tops = sorted({path[0] for path in paths})
  flat = all(len(path) == 2 for path in paths)
  return tuple(tops) if flat and len(tops) > 1 else ()


class FileSource:
  """A source that decodes image files when they are asked for.

  Attributes:
    names: the files, in order.
  """

  def __init__(
    self, name: str, archive: Archive, files: Labelled, config: Settings
  ) -> None:
    """Opens the source; with `on_error='skip'` decodes every file once.

    Args:
      name: name of the data set.
      archive: where the files lie.
      files: which of them, in order, with their labels.
      config: `crop`, `image_size` and `on_error` are read.

    Raises:
      DataError: if no file is left.
    """
    self.name = name
    self._archive = archive
    self._recipe = Recipe(config.crop, config.image_size)
    side = self._recipe.image_size or self._recipe.crop
    self._side = side
    if config.on_error == "skip":
      files = self._sound(files)
    self._files = files
    self.names = tuple(files.names)
    self.classes = files.classes
    if not side:  # the first image decides, and the others must agree
      side = self._side = len(self._image(self.names[0]))
    self.image_shape: tuple[int, int, int] = (side, side, 3)
    recipe = f"{self._recipe.crop} {self._recipe.image_size} bilinear"
    sizes = np.array([archive.sizes[n] for n in self.names], np.int64)
    # The content of all would take minutes with large folders.
    checked = self.names[:: -(-len(self.names) // CHECKED)]
    content = np.array([archive.checksum(n) for n in checked], np.int64)
    parts = [p for k in sorted(files.arrays) for p in (k, files.arrays[k])]
    self.fingerprint = digest(
      name, recipe, "\n".join(_relative(self.names)), sizes, content, *parts
    )

  def __len__(self) -> int:
    """Number of examples."""
    return len(self.names)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Decodes the examples at `indices` `[B]`; see `Source.read`."""
    names = [self.names[int(i)] for i in indices]
    if len(names) < _THREADED_FROM:
      images = [self._image(name) for name in names]
    else:
      with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(pool.map(self._image, names))
    batch = {key: value[indices] for key, value in self._files.arrays.items()}
    stacked = np.empty((len(images), *self.image_shape), np.uint8)
    for row, image in zip(stacked, images, strict=True):
      row[:] = image
    return {"image": stacked, **batch}

  def captions(self, indices: np.ndarray) -> list[str]:
    """The captions per index, '' where there are none."""
    lines = self._files.captions
    return [lines[int(i)] if lines else "" for i in indices]

  def _image(self, name: str) -> np.ndarray:
    """uint8 `[H, W, 3]` of one file, of the size of all others."""
    where = f"{self._archive.path}: {name}"
    image = decode(self._archive.read(name), self._recipe, where)
    if self._side and len(image) != self._side:
      raise DataError(
        f"{where}: central square of {len(image)} pixels, the images before it"
        f" have {self._side}; set config.data.image_size to resize all"
      )
    return image

  def _fault(self, name: str) -> str:
    """Why a file cannot be used; '' if it can."""
    try:
      image = self._image(name)
    except DataError as error:
      return str(error)
    self._side = self._side or len(image)
    return ""

  def _sound(self, files: Labelled) -> Labelled:
    """The files that decode; one line about those that do not."""
    first = 0
    while not self._side and first < len(files.names):
      self._fault(files.names[first])  # before threads: it fixes the size
      first += 1
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      faults = list(pool.map(self._fault, files.names))
    rows = [i for i, fault in enumerate(faults) if not fault]
    bad = [fault for fault in faults if fault]
    if not rows:
      raise DataError(
        f"none of {len(faults)} images can be used; the first: {bad[0]}"
      )
    if bad:
      print(
        f"{self.name}: {len(bad)} of {len(faults)} images left out"
        f" (config.data.on_error=skip); the first: {bad[0].split(';')[0]}",
        file=sys.stderr,
        flush=True,
      )
    return files.keep(rows)


def _relative(names: tuple[str, ...]) -> list[str]:
  """Names below the folders around everything, for the fingerprint."""
  depth = _root(list(names))
  return ["/".join(name.split("/")[depth:]) for name in names]
