"""Sources whose examples come with vectors of their captions."""

import json
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from genlat.texts import captions
from genlat.texts.captions import Captions, all_captions, digest

ENCODER = "captions.npz"  # in the work directory


class Told:
  """A source with 'text', float32 `[B, k, t]`: k captions an example.

  Attributes:
    name: of the source.
    image_shape: of the source.
    classes: of the source.
    fingerprint: of the source and the vectors.
  """

  def __init__(self, source: Any, table: np.ndarray, origin: str) -> None:
    """Puts vectors beside a source.

    Args:
      source: the images.
      table: `[N, k, t]`.
      origin: what the vectors follow from, for the fingerprint.

    Raises:
      ValueError: for another number of examples.
    """
    if table.ndim != 3 or len(table) != len(source):
      raise ValueError(
        f"{source.name}: {len(source)} examples need vectors of captions"
        f" [{len(source)}, k, t]; got {list(table.shape)}"
      )
    self.name: str = source.name
    self.image_shape: tuple[int, int, int] = source.image_shape
    self.classes: tuple[str, ...] = source.classes
    self.fingerprint: str = f"{source.fingerprint}-{origin}"
    self._source, self._table, self._origin = source, table, origin

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._source)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """The examples at `indices` `[B]`, with their captions' vectors."""
    return {**self._source.read(indices), "text": self._table[indices]}

  def captions(self, indices: np.ndarray) -> list[str]:
    """The captions, an example's on lines of its own."""
    return self._source.captions(indices)

  def beside(self, source: Any) -> "Told":
    """The same vectors, beside other images of the same examples."""
    return Told(source, self._table, self._origin)

  def bank(self, count: int) -> np.ndarray:
    """Vectors `[count, t]` of captions spread over the source."""
    rows = np.linspace(0, len(self._table) - 1, count).astype(int)
    which = np.arange(count) % self._table.shape[1]
    return np.asarray(self._table[rows, which], np.float32)


def for_run(
  source: Any,
  settings: ConfigDict,
  directory: pathlib.Path,
  seed: int,
  say: Callable[[str], None],
) -> Told:
  """The train split of a run with vectors of its captions.

  The encoder is trained here, or another run's (`config.text.encoder`); either
  is kept in the work directory, and stays once there is a run.

  Args:
    source: the train split.
    settings: `config.text`.
    directory: the work directory.
    seed: of the training.
    say: called with lines that say what is done, as by `captions.train`.

  Raises:
    ValueError: for files that do not serve, two of them, images without
      captions, or an encoder to train by several processes.
  """
  if settings.vectors and settings.encoder:
    raise ValueError(
      "config.text.vectors are in place of an encoder: set config.text.encoder"
      " or config.text.vectors to ''"
    )
  if settings.vectors:
    path = pathlib.Path(settings.vectors).expanduser()
    return by_file(source, path, "train", settings.size)
  keys = ("size", "steps", "batch_size", "lr", "margin", "forget")
  recipe = captions.Recipe(**{k: settings[k] for k in keys}, seed=seed)
  own = directory / ENCODER
  begun = (directory / "run.json").exists() or any(
    (directory / "checkpoints").glob("[0-9]*")
  )
  if begun and not own.exists():
    raise ValueError(
      f"{directory} holds a run without {ENCODER}: put its encoder of"
      " captions back, or give another --workdir"
    )
  if begun:
    encoder = captions.read(own)
  else:
    encoder = _new_encoder(source, settings, recipe, own, say)
  if encoder.size != settings.size:
    raise ValueError(
      f"the encoder of captions gives {encoder.size} dimensions: set"
      f" config.text.size to that, it is {settings.size}"
    )
  # Never unlinked: a process that comes late would take what the first wrote.
  if jax.process_index() == 0 and not begun:
    encoder.write(own)
  return by_encoder(source, encoder)


def _new_encoder(
  source: Any,
  settings: ConfigDict,
  recipe: captions.Recipe,
  own: pathlib.Path,
  say: Callable[[str], None],
) -> Captions:
  """The encoder of a new run: another's, or one trained now.

  Without a run beside it the file `own` is what a refused or killed start left.
  """
  wanted = captions.origin(source, recipe)
  if settings.encoder:
    encoder = captions.read(pathlib.Path(settings.encoder).expanduser())
    if encoder.origin != wanted:
      say("the encoder of captions was trained on other data, or otherwise")
    return encoder
  if own.exists():
    encoder = captions.read(own)
    if encoder.origin == wanted:
      return encoder
  if jax.process_count() > 1:
    raise ValueError(
      "an encoder of captions is trained by one process: train a run of this"
      " data alone, and name its captions.npz in config.text.encoder"
    )
  return captions.train(source, recipe, say)


def by_encoder(source: Any, encoder: Captions) -> Told:
  """Vectors of a source's captions; k is the largest number of an example.

  Those of an example with fewer are repeated in turn. The fingerprint ends in
  the encoder's SHA-256, its first 16 digits.
  """
  lines = all_captions(source)
  known = sorted({line for own in lines for line in own})
  place = {line: i for i, line in enumerate(known)}
  vectors = encoder.embed(known)
  most = max(len(own) for own in lines)
  rows = [[place[own[j % len(own)]] for j in range(most)] for own in lines]
  said = digest({"lines": np.array(json.dumps(lines))})
  origin = f"{said[:16]}-{encoder.sha256[:16]}"
  return Told(source, vectors[np.array(rows)], origin)


def by_file(source: Any, path: pathlib.Path, split: str, size: int) -> Told:
  """Vectors that were made elsewhere, from the array `split` of an npz file.

  Args:
    source: the images.
    path: of a file with arrays float `[N, k, t]` or `[N, t]` by split.
    split: which of them.
    size: t.

  Raises:
    ValueError: if the file has no such array.
  """
  try:
    with open(path, "rb") as file, np.load(file) as archive:
      table = np.asarray(archive[split], np.float32)
  except FileNotFoundError as error:
    raise ValueError(
      f"{path}: no such file; correct config.text.vectors"
    ) from error
  except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(
      f"{path}: no array '{split}' of numbers can be read from it"
    ) from error
  table = table[:, None] if table.ndim == 2 else table
  if table.ndim != 3 or not np.isfinite(table).all():
    raise ValueError(
      f"{path}: array '{split}' must be finite numbers [N, k, t] or [N, t]"
    )
  if table.shape[-1] != size:
    raise ValueError(
      f"{path}: vectors of {table.shape[-1]} dimensions; set config.text.size"
      f" to that, it is {size}"
    )
  return Told(source, table, digest({split: table})[:16])
