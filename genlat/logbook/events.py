"""TensorBoard's event files."""

import pathlib
import time
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2 as _event_pb2

_proto: Any = _event_pb2  # its classes are made at import
_SECONDS_BETWEEN_FLUSHES = 1.0


class Events:
  """Writes scalars and pictures from the caller's thread.

  Not by tensorboardX's `SummaryWriter`: its thread dies on a full disk, after
  which its queue fills up and the run stands still.
  """

  def __init__(self, folder: pathlib.Path, purge_step: int) -> None:
    """Starts a file.

    Args:
      folder: made if it does not exist.
      purge_step: what older files hold from this step on is not shown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Named by the second, it would empty the file of a run just killed.
    suffix = f".{time.time_ns()}"
    self._writer: Any = EventsWriter(str(folder / "events"), suffix)
    self._flushed = 0.0
    start = _proto.SessionLog(status=_proto.SessionLog.START)
    self._write(purge_step, session_log=start)

  def scalar(self, step: int, name: str, value: float) -> None:
    """Adds a number."""
    self._write(step, summary=summary.scalar(name, value))

  def image(self, step: int, name: str, array: np.ndarray) -> None:
    """Adds a picture, uint8 `[H, W, C]`."""
    picture = summary.image(name, array, dataformats="HWC")
    self._write(step, summary=picture)

  def close(self) -> None:
    """Writes out what is held."""
    self._writer.close()

  def _write(self, step: int, **what: Any) -> None:
    now = time.time()
    self._writer.write_event(_proto.Event(step=step, wall_time=now, **what))
    if now - self._flushed > _SECONDS_BETWEEN_FLUSHES:
      self._writer.flush()
      self._flushed = now
