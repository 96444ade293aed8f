"""CelebA, aligned and cropped, in the layout of its official archive.

Liu et al., 'Deep Learning Face Attributes in the Wild' (2015). The images are
img_align_celeba.zip or the folder img_align_celeba/, beside them
list_eval_partition.txt (0 train, 1 validation, 2 test) and, if it is there,
list_attr_celeba.txt with 40 attributes. All may also lie in the archive's own
sub-folders Img, Eval and Anno. GLF and most others cut the central 160 of
178x218 pixels and resize to 64: config.data.crop=160, image_size=64.
"""

import pathlib

import numpy as np

from genlat.data.archive import Archive, Labelled, open_archive
from genlat.data.folder import FileSource
from genlat.data.source import DataError, Settings, Source, check_split

PARTITIONS = {"train": 0, "validation": 1, "test": 2}
_FIX = "take it from the official archive again"


def load_celeba(config: Settings, split: str) -> Source:
  """CelebA; 'attribute' is int32 `[B, 40]` of 0 and 1.

  Args:
    config: `path` is the folder of the archive; `crop` and `image_size`.
    split: 'train' (162770), 'validation' (19867) or 'test' (19962).

  Raises:
    DataError: if a file is missing, or lists and images do not agree.
  """
  check_split("celeba", split, tuple(PARTITIONS))
  if not config.path:
    raise DataError(
      "celeba needs its files: set config.data.path to the folder of"
      " img_align_celeba.zip and list_eval_partition.txt"
    )
  folder = pathlib.Path(config.path).expanduser()
  images = _find(folder, "img_align_celeba.zip", "img_align_celeba")
  partition = _find(folder, "list_eval_partition.txt")
  archive = open_archive(str(images), "celeba")
  names = _members(partition, split, archive)
  arrays = {}
  attributes = _place(folder, "list_attr_celeba.txt")
  if attributes is not None:
    table = _attributes(attributes)
    missing = [name for name in names if name not in table]
    if missing:
      raise DataError(f"{attributes}: no line for {missing[0]}; {_FIX}")
    arrays["attribute"] = np.stack([table[name] for name in names])
  files = Labelled([names[name] for name in names], arrays=arrays)
  return FileSource("celeba", archive, files, config)


def _place(folder: pathlib.Path, *files: str) -> pathlib.Path | None:
  """The first of some files in the folder or the archive's sub-folders."""
  for place in (folder, *(folder / sub for sub in ("Img", "Eval", "Anno"))):
    for file in files:
      if (place / file).exists():
        return place / file
  return None


def _find(folder: pathlib.Path, *files: str) -> pathlib.Path:
  found = _place(folder, *files)
  if found is None:
    raise DataError(
      f"{folder}: celeba needs {' or '.join(files)} there; set"
      " config.data.path to the folder of the official archive"
    )
  return found


def _members(
  path: pathlib.Path, split: str, archive: Archive
) -> dict[str, str]:
  """File name -> name in the archive, of one split, in the list's order."""
  stored = {name.rsplit("/", 1)[-1]: name for name in archive.sizes}
  members: dict[str, str] = {}
  for number, line in enumerate(path.read_text().splitlines(), 1):
    words = line.split()
    if not words:
      continue
    if len(words) != 2 or words[1] not in ("0", "1", "2"):
      raise DataError(
        f"{path}: line {number}: expected 'FILE 0|1|2', got {line[:60]!r};"
        f" {_FIX}"
      )
    if int(words[1]) != PARTITIONS[split]:
      continue
    if words[0] not in stored:
      raise DataError(
        f"{archive.path}: {words[0]} of {path.name} is not among its"
        f" {len(stored)} images; {_FIX}"
      )
    members[words[0]] = stored[words[0]]
  if not members:
    raise DataError(f"{path}: no image in split '{split}'; {_FIX}")
  return members


def _attributes(path: pathlib.Path) -> dict[str, np.ndarray]:
  """int32 `[A]` of 0 and 1 by file name.

  The file's first line is the number of rows, the second the names, then
  'FILE 1 -1 ...'.
  """
  lines = path.read_text().splitlines()
  count = int(lines[0]) if lines and lines[0].strip().isdigit() else -1
  rows = [line.split() for line in lines[2:] if line.strip()]
  if count != len(rows):
    raise DataError(
      f"{path}: truncated or damaged: expected {count} rows as its first line"
      f" says, got {len(rows)}; {_FIX}"
    )
  width = len(lines[1].split())
  table = {}
  for words in rows:
    if len(words) != width + 1 or not set(words[1:]) <= {"1", "-1"}:
      raise DataError(
        f"{path}: row {words[0]}: expected {width} values 1 or -1; {_FIX}"
      )
    table[words[0]] = np.array([word == "1" for word in words[1:]], np.int32)
  return table
