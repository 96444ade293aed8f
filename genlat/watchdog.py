"""Ends a process whose peers died: a collective never returns by itself."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import jax

EXIT = 75  # the status of a run that its caller may start again
GRACE = 3.0  # seconds in which processes that fail alike say so


LINE = (
  "another process is gone or stuck; start all processes again with the same"
  " command and they go on from the last checkpoint"
)


def leave(reason: str = "") -> NoReturn:
  """Ends the process at once, with one line: no barrier can be passed."""
  print(f"genlat: {reason}{LINE}", file=sys.stderr, flush=True)
  os._exit(EXIT)


def abandon(status: int) -> NoReturn:
  """Ends the process without the barrier at which JAX would wait for peers.

  Peers that fail alike are given time to say so themselves: a connection that
  closes ends them, and so does, with a dump, the end of process 0, which holds
  the coordination service and so leaves last.

  Args:
    status: of the exit; the reason has been printed.
  """
  time.sleep(GRACE if jax.process_index() == 0 else GRACE / 3)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def of_a_peer(error: BaseException) -> bool:
  """Whether an error says that another process of the run is gone."""
  if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
    return False
  words = ("gloo", "connection", "coordination", "heartbeat", "peer", "barrier")
  return any(word in str(error).lower() for word in words)


class Watchdog:
  """Ends the process when no step has finished for too long.

  No Python exception reaches a process that waits in a collective for a
  peer that is gone, so this runs in a thread of its own. It watches from the
  first `beat` on: the first step holds the compilation.
  """

  def __init__(self, limit: float) -> None:
    """Starts the thread.

    Args:
      limit: seconds without a beat until the process ends; 0 = never.
    """
    self._limit, self._last = limit, 0.0
    if limit > 0:
      threading.Thread(target=self._watch, daemon=True).start()

  def beat(self) -> None:
    """A step has finished."""
    self._last = time.monotonic()

  def rest(self) -> None:
    """Stops watching until the next beat."""
    self._last = 0.0

  @contextlib.contextmanager
  def resting(self) -> Iterator[None]:
    """Rests while something other than a step is done, then watches again."""
    self.rest()
    yield
    self.beat()

  def _watch(self) -> None:
    while True:
      time.sleep(min(0.5, self._limit / 4))
      last = self._last
      if last and time.monotonic() - last > self._limit:
        leave(f"no step finished for {self._limit:g} s: ")
