"""Captions of image files, from a table beside them.

`captions.csv` at the top of a folder or .zip has a line a file under a header
of `file`, `caption` and, if there is one, `label`. Several lines of a file are
several captions of it.
"""

import csv
import dataclasses
import io

import numpy as np

from genlat.data.archive import Labelled
from genlat.data.source import DataError

TABLE = "captions.csv"


def tell(files: Labelled, text: str, where: str) -> Labelled:
  """Files with the captions, and the labels, of a table.

  Args:
    files: of one split.
    text: what the table holds.
    where: the folder or archive, for the error.

  Raises:
    DataError: if the header is another, or a file has no line.
  """
  place = f"{where}/{TABLE}"
  reader = csv.DictReader(io.StringIO(text))
  columns = set(reader.fieldnames or ())
  if not {"file", "caption"} <= columns:
    raise DataError(
      f"{place}: the first line must name the columns file and caption, and"
      f" label where there is one; got {', '.join(sorted(columns)) or 'none'}"
    )
  captions: dict[str, list[str]] = {}
  labels: dict[str, str] = {}
  for row in reader:
    name = row["file"].rsplit("/", 1)[-1]
    # A caption is a line: breaks inside of it would make it several.
    captions.setdefault(name, []).append(" ".join(row["caption"].split()))
    labels[name] = row.get("label") or ""
  short = [name.rsplit("/", 1)[-1] for name in files.names]
  missing = [name for name in short if name not in captions]
  if missing:
    raise DataError(
      f"{place}: no line for {missing[0]}, as for {len(missing)} of"
      f" {len(short)} images; add them, or take the images away"
    )
  told = ["\n".join(captions[name]) for name in short]
  files = dataclasses.replace(files, captions=told)
  classes = tuple(sorted(set(labels.values())))
  if "label" not in columns or "" in classes or len(classes) < 2:
    return files
  number = {name: i for i, name in enumerate(classes)}
  values = np.array([number[labels[name]] for name in short], np.int32)
  return dataclasses.replace(files, classes=classes, arrays={"label": values})
