"""`python -m genlat.data.prepare NAME --out=DIR`: gets data ready to read.

Without --path, the published files of mnist, fashion_mnist, binarized_mnist,
cifar10 or svhn are fetched into DIR and checked; config.data.path=DIR reads
them. In every other case the data set NAME ('records' means 'folder') is read
as config.data would read it and written to DIR as ArrayRecord shards with a
card; config.data.name=records, config.data.path=DIR reads them.

Both ways are atomic and go on where an interrupted run stopped.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from genlat.data import (
  DATASETS,
  SPLITS,
  build,
  download,
  record_writer,
  svhn_full,
)
from genlat.data.originals import ORIGINALS
from genlat.data.source import DataError, Settings, Source

# What images are cut to unless told otherwise: CelebA as in Lucic et al. 2018
# and GLF, SVHN's numbers as in Goodfellow et al. 2013 and DRAW.
_SIZES = {
  "celeba": {"crop": 160, "image_size": 64},
  "svhn_full": {"crop": 0, "image_size": svhn_full.SIDE},
}


def fetch_originals(name: str, out: pathlib.Path, mirror: str = "") -> None:
  """Fetches the published files of a data set.

  Args:
    name: a key of `ORIGINALS`.
    out: the folder to put them in.
    mirror: another address of the folder that holds them; '' = the published.

  Raises:
    DataError: if a connection or a hash fails.
  """
  published = ORIGINALS[name]
  for original in published.files:
    path = download.fetch(mirror or published.url, original, out)
    print(f"{path}: {original.size} bytes, SHA-256 as published")
  print(f"read them with --config.data.name={name} --config.data.path={out}")


def make_records(
  config: Settings, out: pathlib.Path, splits: Sequence[str] = ()
) -> None:
  """Writes a data set as ArrayRecord.

  Args:
    config: as `config.data`.
    out: the folder to make.
    splits: which splits; () = all that the data set has of its own.

  Raises:
    DataError: if the data cannot be read or `out` holds something else.
  """
  sources: dict[str, Source] = {}
  for split in splits or SPLITS:
    try:
      sources[split] = build(config, split)
    except DataError:
      # Not every data set has a validation split of its own.
      if splits or split != "validation":
        raise
  recipe = {
    "source": config.name,
    "crop": config.crop,
    "image_size": config.image_size,
    "on_error": config.on_error,
  }
  card = record_writer.write_records(sources, out, recipe)
  counts = {split: entry["count"] for split, entry in card["splits"].items()}
  print(f"{out}: {counts}, images {card['image_shape']}")
  print(f"read it with --config.data.name=records --config.data.path={out}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="python -m genlat.data.prepare",
    description="Fetches published files, or writes ArrayRecord.",
  )
  parser.add_argument("name", help="a data set, tfds:NAME, or 'records'")
  parser.add_argument("--out", required=True, help="the folder to make")
  parser.add_argument("--path", default="", help="folder or archive to read")
  parser.add_argument(
    "--image_size", type=int, default=None, help="pixels; 0 = as stored"
  )
  parser.add_argument(
    "--crop", type=int, default=None, help="pixels; 0 = largest square"
  )
  parser.add_argument(
    "--count", type=int, default=0, help="of a synthetic source; 0 = default"
  )
  parser.add_argument("--on_error", default="raise", help="raise or skip")
  parser.add_argument(
    "--split", default="", help="comma-separated; default all there are"
  )
  parser.add_argument(
    "--mirror", default="", help="another address of the published files"
  )
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; 0 if all is ready, 1 after one line of error."""
  given = _arguments(argv)
  name = "folder" if given.name == "records" else given.name
  out = pathlib.Path(given.out).expanduser()
  default = _SIZES.get(name, {"crop": 0, "image_size": 0})
  try:
    if name in ORIGINALS and not given.path:
      fetch_originals(name, out, given.mirror)
      return 0
    if given.mirror:
      raise DataError(
        f"--mirror is for published files ({', '.join(ORIGINALS)}) without"
        " --path"
      )
    if name not in DATASETS and not name.startswith("tfds:"):
      raise DataError(
        f"unknown data set {name!r}; known: records, {', '.join(DATASETS)}"
      )
    config = Settings(
      name=name,
      path=given.path,
      image_size=_or(given.image_size, default["image_size"]),
      crop=_or(given.crop, default["crop"]),
      count=given.count,
      validation=0.0,
      on_error=given.on_error,
    )
    splits = [part for part in given.split.split(",") if part]
    make_records(config, out, splits)
  except (ValueError, OSError) as error:
    print(f"genlat.data.prepare: {error}", file=sys.stderr)
    return 1
  return 0


def _or(given: int | None, default: int) -> int:
  return default if given is None else given


if __name__ == "__main__":
  sys.exit(main())
