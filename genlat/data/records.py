"""Prepared data: ArrayRecord shards and a card that describes them.

A folder holds card.json, the shards, and per split a list of the files it was
made from. A record is `int32 label (-1 = none), int32 attribute x A, uint32
bytes of the caption, caption, image`, little-endian; the image is raw
`[H, W, C]` uint8 up to 128 pixels and PNG above. One record a group, so that
reading is random access; the format's own hashes reveal damage.
"""

import io
import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from genlat.data.source import (
  DataError,
  Settings,
  Source,
  check_labels,
  check_split,
  file_sha256,
)

CARD = "card.json"
FORMAT = 1
RAW_UP_TO = 128  # pixels a side


def read_card(folder: pathlib.Path) -> dict[str, Any]:
  """The card of a prepared folder.

  Raises:
    DataError: if it is missing or damaged.
  """
  path = folder / CARD
  if not path.is_file():
    raise DataError(
      f"{folder}: no finished preparation there ({CARD} is missing); make one:"
      " python -m genlat.data.prepare folder --path=IMAGES --out=DIR"
    )
  try:
    card = json.loads(path.read_text())
    known = card["job"]["format"] == FORMAT and bool(card["splits"])
  except (ValueError, KeyError, TypeError) as error:
    raise DataError(
      f"{path}: damaged card ({error}); prepare the data again"
    ) from error
  if not known:
    raise DataError(
      f"{path}: expected format {FORMAT}, got {card['job']['format']}; prepare"
      " the data again"
    )
  return card


def load_records(config: Settings, split: str) -> Source:
  """Data made by `python -m genlat.data.prepare`.

  Args:
    config: `path` is the prepared folder. Crop and size were fixed when it
      was made: `crop` and `image_size` must be 0 or the same.
    split: a split of the card.

  Raises:
    DataError: if the folder, a shard or the split is missing, a shard has
      another length than the card says, or a size differs.
  """
  if not config.path:
    raise DataError(
      "records needs config.data.path, a folder made by python -m"
      " genlat.data.prepare"
    )
  folder = pathlib.Path(config.path).expanduser()
  card = read_card(folder)
  check_split(str(folder), split, tuple(card["splits"]))
  made = card["job"]["recipe"]
  for key, value in (
    ("image_size", card["image_shape"][0]),
    ("crop", made.get("crop", 0)),
  ):
    wanted = getattr(config, key)
    if wanted not in (0, value):
      raise DataError(
        f"{folder} was prepared with {key}={value}, config.data.{key} asks for"
        f" {wanted}; prepare it again with --{key}={wanted}, or set"
        " the key to 0"
      )
  return RecordSource(folder, card, split)


class RecordSource:
  """A source over the ArrayRecord shards of one split."""

  def __init__(
    self, folder: pathlib.Path, card: dict[str, Any], split: str
  ) -> None:
    """Opens the shards.

    Raises:
      DataError: if one is missing or has another length than the card says.
    """
    from array_record.python import array_record_data_source

    entry = card["splits"][split]
    height, width, channels = card["image_shape"]
    self.name = str(card["name"])
    self.image_shape: tuple[int, int, int] = (
      int(height),
      int(width),
      int(channels),
    )
    self.classes: tuple[str, ...] = tuple(card["classes"])
    self.fingerprint = str(entry["fingerprint"])  # the same examples
    self._folder = folder
    self._entry = entry
    self._raw = self.image_shape[0] <= RAW_UP_TO
    paths = [str(_checked(folder, shard)) for shard in entry["shards"]]
    try:
      self._records = array_record_data_source.ArrayRecordDataSource(paths)
      count = len(self._records)
    except (RuntimeError, ValueError) as error:
      raise self._damaged(error) from error
    if count != entry["count"]:
      raise self._damaged(f"{count} records instead of {entry['count']}")

  def __len__(self) -> int:
    """Number of examples."""
    return self._entry["count"]

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Reads the examples at `indices` `[B]`; see `Source.read`."""
    rows = [self._unpack(record) for record in self._fetch(indices)]
    images = np.empty((len(rows), *self.image_shape), np.uint8)
    for image, (_, _, pixels) in zip(images, rows, strict=True):
      image[:] = self._pixels(pixels)
    batch: dict[str, np.ndarray] = {"image": images}
    heads = np.stack([head for head, _, _ in rows]) if rows else None
    if heads is None:
      heads = np.empty((0, 1 + self._entry["attributes"]), np.int32)
    if self._entry["labels"]:
      batch["label"] = heads[:, 0].astype(np.int32)
      check_labels(str(self._folder), batch["label"], len(self.classes))
    if self._entry["attributes"]:
      batch["attribute"] = heads[:, 1:].astype(np.int32)
    return batch

  def captions(self, indices: np.ndarray) -> list[str]:
    """The stored sentences, '' where there is none."""
    return [self._unpack(record)[1] for record in self._fetch(indices)]

  def _fetch(self, indices: np.ndarray) -> list[bytes]:
    bad = [int(i) for i in indices if not 0 <= i < len(self)]
    if bad:
      raise IndexError(f"{self._folder}: index {bad[0]} of {len(self)}")
    if not len(indices):
      return []
    try:
      return list(self._records.__getitems__([int(i) for i in indices]))
    except RuntimeError as error:
      raise self._damaged(error) from error

  def _unpack(self, record: bytes) -> tuple[np.ndarray, str, bytes]:
    """Label and attributes, caption, and the bytes of the image."""
    numbers = 1 + self._entry["attributes"]
    head = np.frombuffer(record, "<i4", numbers)
    start = 4 * numbers
    length = int(np.frombuffer(record, "<u4", 1, start)[0])
    text = record[start + 4 : start + 4 + length].decode()
    return head, text, record[start + 4 + length :]

  def _pixels(self, data: bytes) -> np.ndarray:
    """uint8 `[H, W, C]`."""
    if self._raw:
      return np.frombuffer(data, np.uint8).reshape(self.image_shape)
    with Image.open(io.BytesIO(data)) as image:
      return np.asarray(image).reshape(self.image_shape)

  def _damaged(self, reason: object) -> DataError:
    """The error for shards that the format itself finds damaged.

    Args:
      reason: what was found.

    Returns:
      An error that names the shards whose SHA-256 is not the card's.
    """
    names = [
      shard["file"]
      for shard in self._entry["shards"]
      if file_sha256(self._folder / shard["file"]) != shard["sha256"]
    ]
    line = str(reason).split(";")[0].splitlines()[0]
    return DataError(
      f"{self._folder}: damaged: {', '.join(names) or 'unknown shard'}"
      f" ({line}); remove the folder and prepare the data again"
    )


def _checked(folder: pathlib.Path, shard: dict[str, Any]) -> pathlib.Path:
  """The path of a shard, present and of the right length."""
  path = folder / shard["file"]
  size = path.stat().st_size if path.is_file() else 0
  if size != shard["bytes"]:
    raise DataError(
      f"{path}: missing or truncated: expected {shard['bytes']} bytes, got"
      f" {size}; remove the folder and prepare the data again"
    )
  return path
