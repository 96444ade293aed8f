"""Oxford-102 flowers with ten captions an image, in the published layout.

`config.data.path` names a folder with `jpg/image_00001.jpg` ... (the unpacked
102flowers.tgz, or jpg.zip) and `text_c10/class_00001/image_00001.txt` ..., ten
lines each (Reed et al. 2016, arXiv:1605.05396). Train and test share no class:
`trainvalids.txt` lists the classes of train, where it is there; otherwise a
fixed hash puts a fifth of them into test.
"""

import pathlib
import re

import numpy as np

from genlat.data.archive import Labelled, open_archive
from genlat.data.folder import FileSource
from genlat.data.source import (
  DataError,
  Settings,
  Source,
  check_split,
  share,
)

CLASSES, TEST_SHARE = 102, 0.2
_FIX = "fetch the captions of Reed et al. and 102flowers.tgz again"


def load_flowers(config: Settings, split: str) -> Source:
  """The flowers of one split.

  Args:
    config: `path`; `crop` and `image_size` in pixels; `on_error`.
    split: 'train' or 'test'.

  Raises:
    DataError: if files are missing, or images and captions do not agree.
  """
  check_split("flowers", split, ("train", "test"))
  if not config.path:
    raise DataError(
      "flowers needs its files: set config.data.path to the folder of jpg and"
      " text_c10"
    )
  folder = pathlib.Path(config.path).expanduser()
  texts = sorted((folder / "text_c10").glob("class_*/image_*.txt"))
  if not texts:
    raise DataError(
      f"{folder}: flowers needs text_c10/class_00001/image_00001.txt and others"
      f" there; {_FIX}"
    )
  images = folder / "jpg"
  archive = open_archive(
    str(images if images.exists() else folder / "jpg.zip"), "flowers"
  )
  stored = {pathlib.PurePosixPath(n).stem: n for n in archive.sizes}
  train = _train_classes(folder)
  chosen = [
    p for p in texts if (_number(p.parent.name) in train) ^ (split == "test")
  ]
  if not chosen:
    raise DataError(f"{folder}: no image in split '{split}'; {_FIX}")
  missing = [path.stem for path in chosen if path.stem not in stored]
  if missing:
    raise DataError(
      f"{images}: no {missing[0]}.jpg, as of {len(missing)} of {len(chosen)}"
      f" captioned images; {_FIX}"
    )
  chosen.sort(key=lambda path: path.stem)
  labels = [_number(path.parent.name) - 1 for path in chosen]
  captions = []
  for path in chosen:
    lines = [
      w for w in path.read_text("utf-8", "replace").splitlines() if w.strip()
    ]
    if not lines:
      raise DataError(f"{path}: no caption in it; {_FIX}")
    captions.append("\n".join(lines))
  files = Labelled(
    [stored[path.stem] for path in chosen],
    tuple(f"class_{i:05d}" for i in range(1, CLASSES + 1)),
    {"label": np.array(labels, np.int32)},
    captions,
  )
  return FileSource("flowers", archive, files, config)


def _number(text: str) -> int:
  """The class, 1 to 102, that a name ends in.

  Raises:
    DataError: if it does not.
  """
  found = re.search(r"(\d+)\s*$", text)
  if not found or not 1 <= int(found[1]) <= CLASSES:
    raise DataError(f"flowers: {text!r} is no class of 1 to {CLASSES}; {_FIX}")
  return int(found[1])


def _train_classes(folder: pathlib.Path) -> set[int]:
  """The classes of train."""
  for listed in (
    folder / "trainvalids.txt",
    folder / "text_c10/trainvalids.txt",
  ):
    if listed.exists():
      lines = listed.read_text().splitlines()
      return {_number(line) for line in lines if line.strip()}
  return {
    i
    for i in range(1, CLASSES + 1)
    if share("flowers/test", str(i)) >= TEST_SHARE
  }
