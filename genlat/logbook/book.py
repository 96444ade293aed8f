"""The log of a run.

`metrics.jsonl` holds one JSON object a line, such as
{"step": 50, "split": "train", "loss": 0.7}. On resume it is cut back to the
restored step, so that no step appears twice and none is missing.
"""

import contextlib
import io
import json
import math
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

from genlat import files
from genlat.logbook.events import Events
from genlat.logbook.progress import Progress


class Logbook:
  """Writes to every place that was asked for; only on the first process."""

  def __init__(
    self,
    workdir: str | os.PathLike[str],
    *,
    tensorboard: bool,
    wandb: bool,
    console: bool | None = None,
    resume_step: int,
  ) -> None:
    """Opens the log at the end of a step.

    Args:
      workdir: gets metrics.jsonl, images/ and tensorboard/.
      tensorboard: whether event files are written.
      wandb: whether Weights & Biases is told; it skips the steps it knows.
      console: True = progress bar, False = plain lines, None = as stderr is.
      resume_step: the step restored; what was written after it is cut off. 0
        starts the log anew.

    Raises:
      ValueError: if wandb is not installed.
      OSError: if the log cannot be written.
    """
    self._workdir = pathlib.Path(workdir)
    self._first = jax.process_index() == 0
    self._progress = Progress(console)
    self._events: Events | None = None
    self._wandb: Any = None
    if not self._first:
      return
    if wandb:
      self._wandb = _start_wandb(self._workdir)
    with self._on_disk():
      self._workdir.mkdir(parents=True, exist_ok=True)
      path = self._workdir / "metrics.jsonl"
      _cut_back(path, resume_step)
      self._lines = path.open("ab", buffering=0)
      if tensorboard:
        purge = resume_step + 1 if resume_step else 0
        self._events = Events(self._workdir / "tensorboard", purge)

  def write(self, step: int, metrics: Mapping[str, float], split: str) -> None:
    """Writes the metrics of a step.

    Args:
      step: train steps done.
      metrics: numbers by name; those not finite become the strings 'nan',
        'inf' and '-inf', which JSON can hold and `float` reads.
      split: 'train', 'validation' or another word.

    Raises:
      ValueError: if a metric is called 'step' or 'split'.
      OSError: if the log cannot be written.
    """
    if taken := {"step", "split"} & set(metrics):
      raise ValueError(
        f"a metric cannot be called {taken.pop()!r}: the log uses that key"
      )
    if not self._first:
      return
    values = {name: float(value) for name, value in metrics.items()}
    told = {f"{split}/{name}": value for name, value in values.items()}
    line = {"step": int(step), "split": split} | {
      name: value if math.isfinite(value) else str(value)
      for name, value in values.items()
    }
    content = json.dumps(line, allow_nan=False).encode() + b"\n"
    with self._on_disk():
      # Unbuffered: what a kill leaves is whole, but for the last line.
      if self._lines.write(content) != len(content):
        raise OSError("the disk is full")
      if self._events:
        for name, value in told.items():
          self._events.scalar(step, name, value)
    if self._wandb:
      self._wandb.log(told, step=step)

  def images(self, step: int, name: str, array: np.ndarray) -> None:
    """Keeps a picture as images/NAME_STEP.png and in the event files.

    Args:
      step: train steps done.
      name: such as 'samples'.
      array: uint8 `[H, W, C]`, C = 1 or 3.

    Raises:
      ValueError: if it is no such picture.
      OSError: if it cannot be written.
    """
    shape = array.shape
    if array.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
      raise ValueError(
        "a picture is uint8 [H, W, C] with 1 or 3 channels; got"
        f" {array.dtype} {list(shape)}"
      )
    if not self._first:
      return
    file = f"{name.replace('/', '_')}_{step}.png"
    path = self._workdir / "images" / file
    with self._on_disk():
      path.parent.mkdir(exist_ok=True)
      picture = io.BytesIO()
      pixels = array[..., 0] if shape[2] == 1 else array
      Image.fromarray(pixels).save(picture, "png")
      with files.whole(path) as draft:
        draft.write_bytes(picture.getvalue())
      if self._events:
        self._events.image(step, name, array)
    if self._wandb:
      self._wandb.log({name: self._wandb.Image(str(path))}, step=step)

  def plot(
    self, name: str, draw: Callable[[pathlib.Path, pathlib.Path], None]
  ) -> None:
    """Has images/NAME.png drawn of what is logged so far, on one process.

    Args:
      name: such as 'curves'.
      draw: called with metrics.jsonl and the path of the picture.

    Raises:
      OSError: if it cannot be written.
    """
    if not self._first:
      return
    with self._on_disk():
      log = self._workdir / "metrics.jsonl"
      draw(log, self._workdir / "images" / f"{name}.png")

  def progress(self, step: int, total: int, rate: float, loss: float) -> None:
    """Shows how far the run is.

    Args:
      step: train steps done.
      total: train steps of the whole run.
      rate: images a second.
      loss: of that step.
    """
    if self._first:
      self._progress(step, total, f"{rate:.0f} images/s, loss {loss:.4g}")

  def close(self) -> None:
    """Ends the bar and writes out what is held."""
    if not self._first:
      return
    self._progress.close()
    self._lines.close()
    if self._events:
      with contextlib.suppress(OSError):  # a full disk has been told before
        self._events.close()
    if self._wandb:
      self._wandb.finish()

  @contextlib.contextmanager
  def _on_disk(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      raise OSError(
        f"the log in {self._workdir} cannot be written: {error}; free space"
        " there, then start the same command again"
      ) from error


def _cut_back(path: pathlib.Path, step: int) -> None:
  """Removes what was written after a step, and a line that a kill tore."""
  kept = []
  for line in path.read_bytes().splitlines() if path.exists() else ():
    with contextlib.suppress(ValueError, TypeError, KeyError):
      if json.loads(line)["step"] <= step and step > 0:
        kept.append(line + b"\n")
  with files.whole(path) as draft:
    draft.write_bytes(b"".join(kept))


def _start_wandb(workdir: pathlib.Path) -> Any:
  """The module, with a run that goes on when the work directory does."""
  try:
    import wandb  # pyright: ignore[reportMissingImports]
  except ImportError as error:
    raise ValueError(
      "config.log.wandb needs an extra: pip install 'genlat[wandb]', or give"
      " --config.log.wandb=false"
    ) from error
  workdir.mkdir(parents=True, exist_ok=True)
  file = workdir / "wandb_id"
  if not file.exists():
    file.write_text(uuid.uuid4().hex)
  wandb.init(
    project="genlat",
    name=workdir.absolute().name,
    dir=str(workdir),
    id=file.read_text(),
    resume="allow",
  )
  return wandb
