"""What is saved beside a state: its meta, its leaves, and a digest of both."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from genlat.checkpoint.failures import CheckpointError, cause
from genlat.checkpoint.leaves import fingerprints, form, named_leaves

PyTree = Any
Table = dict[str, list[Any]]

# Where a step keeps what.
STATE, META, FILE = "state", "meta", "meta.json"


def table(state: PyTree) -> Table:
  """Form and fingerprint of every leaf, by path."""
  found = fingerprints(state)
  return {
    name: [form(leaf), found[name]]
    for name, leaf in named_leaves(state).items()
  }


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
  """The record as JSON holds it, with a digest of all that it says."""
  body = {key: value for key, value in record.items() if key != "digest"}
  body = json.loads(json.dumps(body))
  text = json.dumps(body, sort_keys=True)
  return {**body, "digest": hashlib.sha256(text.encode()).hexdigest()}


def read(path: pathlib.Path) -> dict[str, Any]:
  """A sealed record; read without Orbax, whose reader waits for all processes.

  Raises:
    CheckpointError: if the file is missing or not what was written.
  """
  try:
    record = json.loads(path.read_text())
    sound = seal(record)["digest"] == record["digest"]
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise CheckpointError(f"its meta cannot be read: {cause(error)}") from error
  if not sound:
    raise CheckpointError("its meta is not what was saved")
  return record


def difference(found: Table, abstract: PyTree) -> str:
  """The first leaf whose form differs from the one saved, in words, or ''."""
  leaves = named_leaves(abstract)
  for name in [*leaves, *found]:
    here = form(leaves[name]) if name in leaves else "absent"
    there = found[name][0] if name in found else "absent"
    if here != there:
      return f"leaf {name} is {there} there and {here} here"
  return ""


def damaged_leaf(found: Table, state: PyTree) -> str:
  """The first leaf that is not the one saved, or ''."""
  return next((k for k, v in table(state).items() if v != found[k]), "")
