"""The step with the best score."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Best:
  """Chooses the best step, and preserves it as a policy of Orbax.

  Orbax is not told the metrics: it reads those of all steps when it opens a
  directory, so that one damaged file of them would hide every step.

  Attributes:
    metric: the name of the metric that decides; '' = none.
    scores: the metrics known, by step.
  """

  def __init__(self, metric: str, mode: str) -> None:
    """Chooses by the smallest or the largest value of a metric.

    Args:
      metric: its name; '' = there is no best step.
      mode: 'min' or 'max'.

    Raises:
      ValueError: if the mode is neither.
    """
    if mode not in ("min", "max"):
      raise ValueError(f"the best is by mode 'min' or 'max'; got {mode!r}")
    self.metric = metric
    self.scores: dict[int, Mapping[str, float]] = {}
    self._sign = 1 if mode == "max" else -1

  def score(self, metrics: Mapping[str, float] | None) -> dict[str, float]:
    """What of the metrics decides; empty where the step was not evaluated.

    Raises:
      ValueError: if the metric is not among them.
    """
    if not self.metric or metrics is None:
      return {}
    if self.metric not in metrics:
      raise ValueError(
        f"the best checkpoint is chosen by {self.metric!r}, which is not among"
        f" the metrics {sorted(metrics)}"
      )
    return {self.metric: float(metrics[self.metric])}

  def choose(self, steps: Iterable[int]) -> int | None:
    """The best of the steps, the later of equals, or None."""
    ranked = []
    for step in steps:
      value = self.scores.get(step, {}).get(self.metric, math.nan)
      if not math.isnan(value):
        ranked.append((self._sign * value, step))
    return max(ranked)[1] if ranked else None

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    """What Orbax asks a policy: which of the checkpoints must stay."""
    best = self.choose(info.step for info in checkpoints)
    return [info.step == best for info in checkpoints]
