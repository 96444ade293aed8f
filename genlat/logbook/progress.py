"""How far a run is: a bar on a terminal, plain lines elsewhere."""

import math
import sys
import time

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
  """Speaks on stderr."""

  def __init__(self, on_terminal: bool | None) -> None:
    """Says nothing yet.

    Args:
      on_terminal: True = a bar, False = lines at intervals, None = as stderr
        is.
    """
    self._as_bar = sys.stderr.isatty() if on_terminal is None else on_terminal
    self._bar: tqdm | None = None
    self._began: tuple[int, float] | None = None
    self._spoke = -math.inf

  def __call__(self, step: int, total: int, words: str) -> None:
    """Tells the steps done, the steps in all, and what else is to say."""
    now = time.monotonic()
    if self._began is None:  # the time before it holds the compilation
      self._began = step, now
      if self._as_bar:
        self._bar = tqdm(
          total=total, initial=step, unit="step", dynamic_ncols=True
        )
    if self._bar is not None:
      self._bar.set_postfix_str(words, refresh=False)
      self._bar.update(step - self._bar.n)
    elif now - self._spoke >= _SECONDS_BETWEEN_LINES or step >= total:
      self._spoke = now
      left = _time_left(step, total, now, *self._began)
      line = f"step {step}/{total}, {words}, {left} left"
      print(line, file=sys.stderr, flush=True)

  def close(self) -> None:
    """Ends the bar."""
    if self._bar is not None:
      self._bar.close()


def _time_left(
  step: int, total: int, now: float, first_step: int, began: float
) -> str:
  if step <= first_step:
    return "?"
  seconds = (now - began) / (step - first_step) * (total - step)
  return tqdm.format_interval(seconds)
