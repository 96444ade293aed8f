"""Metrics, fetched late."""

from collections.abc import Mapping

import jax


class LateMetrics:
  """Fetches metrics one call late, so the devices never wait for Python.

  The metrics of a call are read when the next call has been dispatched; never
  more than two calls are in flight.
  """

  def __init__(self) -> None:
    """Starts with nothing held."""
    self._held: tuple[int, Mapping[str, jax.Array]] | None = None

  def push(
    self, step: int, device_metrics: Mapping[str, jax.Array]
  ) -> list[tuple[int, dict[str, float]]]:
    """Holds the metrics of a call; returns those of the call before it.

    Args:
      step: train steps done after the call.
      device_metrics: `[]` each, on the devices, by name.
    """
    ready = self.flush()
    self._held = step, device_metrics
    return ready

  def flush(self) -> list[tuple[int, dict[str, float]]]:
    """What is held, if anything; waits for it."""
    held, self._held = self._held, None
    if held is None:
      return []
    step, metrics = held
    values = jax.device_get(dict(metrics))
    return [(step, {name: float(value) for name, value in values.items()})]
