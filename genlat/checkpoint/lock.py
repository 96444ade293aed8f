"""One run at a time in a work directory."""

import fcntl
import os
import pathlib
import socket
from typing import IO

import jax


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
    """Takes the lock, on the first of several processes.

    Raises:
      OSError: if another run holds it.
    """
    if jax.process_index() == 0:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      self._file = self._path.open("a+")
      try:
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        self._file.seek(0)
        holder = self._file.read().strip()
        self._file.close()
        raise OSError(
          f"another run is using {self._path.parent}: {holder}; wait for it,"
          " stop it, or give another --workdir"
        ) from None
      self._file.truncate(0)
      self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
      self._file.flush()
    return self

  def __exit__(self, *_: object) -> None:
    """Frees the lock."""
    if self._file is not None:
      self._file.close()
