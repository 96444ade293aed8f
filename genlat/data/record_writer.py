"""Writes ArrayRecord shards and their card; the format is in `records`.

Writing happens in OUT.part, which is renamed when all is done. A run that was
interrupted leaves finished shards there, and the same command goes on.
"""

import io
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image

from genlat.data.records import CARD, FORMAT, RAW_UP_TO, read_card
from genlat.data.source import DataError, Source, file_sha256

SHARD_BYTES = 256 * 2**20  # of raw images
_CHUNK = 1024  # images read from a source at a time
_LIBRARIES = ("array-record", "numpy", "pillow")


def write_records(
  sources: Mapping[str, Source],
  out: pathlib.Path,
  recipe: Mapping[str, Any],
) -> dict[str, Any]:
  """Writes splits as ArrayRecord shards, atomically.

  Args:
    sources: by split.
    out: the folder to make.
    recipe: how the images were cut and resized; goes into the card.

  Returns:
    The card.

  Raises:
    DataError: if `out` exists with other content.
  """
  job = {
    "format": FORMAT,
    "recipe": dict(recipe),
    "splits": {name: s.fingerprint for name, s in sources.items()},
  }
  if out.exists() and any(out.iterdir()):
    card = read_card(out)
    if card["job"] == job:
      return card
    raise DataError(
      f"{out} holds another preparation; remove it or choose another --out"
    )
  part = out.with_name(out.name + ".part")
  _begin(part, job)
  splits = {
    name: _write_split(name, source, part) for name, source in sources.items()
  }
  first = next(iter(sources.values()))
  card = {
    "job": job,
    "name": first.name,
    "image_shape": list(first.image_shape),
    "classes": list(first.classes),
    "splits": splits,
    "versions": {name: metadata.version(name) for name in _LIBRARIES},
  }
  _write_text(part / CARD, json.dumps(card, indent=2) + "\n")
  (part / "job.json").unlink()
  part.replace(out)
  return card


def _begin(part: pathlib.Path, job: dict[str, Any]) -> None:
  """Makes the working folder, or keeps the one of the same interrupted job."""
  state = part / "job.json"
  if state.exists() and json.loads(state.read_text()) == job:
    return
  if part.exists():
    shutil.rmtree(part)
  part.mkdir(parents=True)
  _write_text(state, json.dumps(job))


def _write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file under another name, then renames it."""
  draft = path.with_name(path.name + ".draft")
  draft.write_text(text)
  draft.replace(path)


def _write_split(
  split: str, source: Source, part: pathlib.Path
) -> dict[str, Any]:
  """Writes the shards of one split that are not there yet; its card entry."""
  per = max(1, SHARD_BYTES // int(np.prod(source.image_shape)))
  starts = range(0, len(source), per)
  shards, attributes = [], 0
  for number, start in enumerate(starts):
    rows = np.arange(start, min(start + per, len(source)))
    name = f"{split}-{number:05d}-of-{len(starts):05d}.array_record"
    path = part / name
    if not path.exists():
      _write_shard(path, source, rows)
    shards.append(
      {
        "file": name,
        "count": len(rows),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
      }
    )
  example = source.read(np.arange(1))
  if "attribute" in example:
    attributes = example["attribute"].shape[1]
  entry = {
    "count": len(source),
    "fingerprint": source.fingerprint,
    "labels": "label" in example,
    "attributes": attributes,
    "shards": shards,
  }
  names = getattr(source, "names", ())
  if names:
    _write_text(part / f"{split}.txt", "\n".join(names) + "\n")
    entry["files"] = f"{split}.txt"
    entry["files_sha256"] = file_sha256(part / f"{split}.txt")
  return entry


def _write_shard(path: pathlib.Path, source: Source, rows: np.ndarray) -> None:
  """Writes one shard under another name, then renames it."""
  from array_record.python import (
    array_record_module,  # pyright: ignore[reportAttributeAccessIssue]
  )

  draft = path.with_name(path.name + ".draft")
  raw = source.image_shape[0] <= RAW_UP_TO
  options = "group_size:1" + (",uncompressed" if raw else "")
  writer = array_record_module.ArrayRecordWriter(str(draft), options)
  try:
    for start in range(0, len(rows), _CHUNK):
      chunk = rows[start : start + _CHUNK]
      batch = source.read(chunk)
      captions = source.captions(chunk)
      for i, caption in enumerate(captions):
        writer.write(_pack({k: v[i] for k, v in batch.items()}, caption, raw))
  finally:
    writer.close()
  with open(draft, "rb") as file:
    os.fsync(file.fileno())
  draft.replace(path)


def _pack(example: dict[str, np.ndarray], caption: str, raw: bool) -> bytes:
  """One record; its layout is in the docstring of the module."""
  text = caption.encode()
  label = np.array([example.get("label", -1)], "<i4")
  attribute = np.asarray(example.get("attribute", []), "<i4")
  image = example["image"]
  if raw:
    pixels = image.tobytes()
  else:
    buffer = io.BytesIO()
    flat = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(flat).save(buffer, "PNG", compress_level=1)
    pixels = buffer.getvalue()
  length = np.array([len(text)], "<u4")
  head = (label.tobytes(), attribute.tobytes(), length.tobytes())
  return b"".join((*head, text, pixels))
