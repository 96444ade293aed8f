"""Captions of image files, from a table beside them.

`captions.csv` at the top of a folder or .zip has a line a file under a header
of `file`, `caption` and, if there is one, `label`. Several lines of a file are
several captions of it; one without a line has no caption.
"""

import collections
import csv
import dataclasses
import io
from collections.abc import Mapping

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
    DataError: if the header is another, a file has two labels, or a line may
      mean several files.
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
  try:
    for row in reader:
      name, label = row["file"] or "", row.get("label") or ""
      # A caption is a line: breaks inside of it would make it several.
      line = " ".join((row["caption"] or "").split())
      captions.setdefault(name, []).append(line)
      if labels.setdefault(name, label) != label:
        raise DataError(
          f"{place}: {name} has labels {labels[name]!r} and {label!r}"
        )
  except csv.Error as error:
    raise DataError(f"{place}: line {reader.line_num}: {error}") from error
  shared = collections.Counter(
    ending for name in files.names for ending in _endings(name)
  )
  known = [_listed(name, shared, captions) for name in files.names]
  told = ["\n".join(captions.get(name, [])) for name in known]
  files = dataclasses.replace(files, captions=told)
  classes = tuple(sorted(set(labels.values())))
  unknown = any(name not in labels for name in known)
  if "label" not in columns or "" in classes or unknown or len(classes) < 2:
    return files
  number = {name: i for i, name in enumerate(classes)}
  values = np.array([number[labels[name]] for name in known], np.int32)
  return dataclasses.replace(files, classes=classes, arrays={"label": values})


def _endings(name: str) -> list[str]:
  """A file's name with all of its folders, and with fewer, longest first."""
  parts = name.split("/")
  return ["/".join(parts[start:]) for start in range(len(parts))]


def _listed(
  name: str, shared: Mapping[str, int], captions: Mapping[str, list[str]]
) -> str:
  """A file as the table has it: with all of its folders, or fewer.

  Raises:
    DataError: where the table means one of several files.
  """
  for short in _endings(name):
    if short not in captions:
      continue
    # A whole name means its file, whatever ends like it.
    if short != name and shared[short] > 1:
      raise DataError(
        f"{TABLE}: {short} may be one of several files, such as {name}: give"
        " their folders, too"
      )
    return short
  return name
