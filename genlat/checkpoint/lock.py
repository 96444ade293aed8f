"""One run at a time in a work directory."""

import fcntl
import os
import pathlib
import socket
from typing import IO

import jax
import numpy as np
from jax.experimental import multihost_utils


class RunLock:
  """Holds a work directory for one run; the kernel frees it at any death."""

  def __init__(self, workdir: str | os.PathLike[str]) -> None:
    """Names the directory; the lock is taken on entering.

    Args:
      workdir: made if it does not exist.
    """
    self._path = pathlib.Path(workdir).absolute() / ".lock"
    self._file: IO[str] | None = None

  def __enter__(self) -> "RunLock":
    """Takes the lock, on the first of several processes; all learn of it.

    Raises:
      OSError: on every process, if another run holds it.
    """
    holder = self._take() if jax.process_index() == 0 else ""
    held = bool(holder)
    if jax.process_count() > 1:
      held = bool(multihost_utils.broadcast_one_to_all(np.int32(held)))
    if held:
      raise OSError(
        f"another run is using {self._path.parent}"
        f"{': ' * bool(holder)}{holder}; wait for it, stop it, or give another"
        " --workdir"
      )
    return self

  def _take(self) -> str:
    """Who holds the lock already; '' = taken."""
    self._path.parent.mkdir(parents=True, exist_ok=True)
    self._file = self._path.open("a+")
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      with self._file as file:
        file.seek(0)
        return file.read().strip() or "its process is not known"
    self._file.truncate(0)
    self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    self._file.flush()
    return ""

  def __exit__(self, *_: object) -> None:
    """Frees the lock."""
    if self._file is not None:
      self._file.close()
