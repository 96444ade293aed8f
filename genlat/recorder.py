"""Turns the metrics of steps into log lines, warnings and a clean stop."""

import collections
import time

import jax
import jax.numpy as jnp
import numpy as np

from genlat import sharding, workdir
from genlat.generation import to_host
from genlat.logbook import Logbook
from genlat.methods.method import Watched
from genlat.run import Run, say

HISTORY = 50  # logged steps by which a method judges its own health


class NonFinite(RuntimeError):
  """The loss is no longer a number."""


class Recorder:
  """Writes what `LateMetrics` has ready, and stops at a non-finite loss."""

  def __init__(self, run: Run, logbook: Logbook) -> None:
    """Starts the clock of the rate."""
    self._run, self._logbook = run, logbook
    self._clock, self._from = time.monotonic(), -1
    self._history = collections.deque[dict[str, float]](maxlen=HISTORY)
    self._warned: set[str] = set()

  def __call__(self, ready: list[tuple[int, dict[str, float]]]) -> None:
    """Writes entries `(step, metrics)`; only logged steps carry a loss."""
    config = self._run.config
    for step, metrics in ready:
      if failed := int(metrics.pop("failed")):
        raise NonFinite(explain(self._run, failed))
      if self._from < 0:  # the first call holds the compilation
        self._clock, self._from = time.monotonic(), step
      if not metrics:
        continue
      method = self._run.method
      if isinstance(method, Watched):
        metrics = method.measured(metrics)
      self._logbook.write(step, metrics, "train")
      now = time.monotonic()
      done = (step - self._from) * config.batch_size
      rate = done / (now - self._clock) if step > self._from else 0.0
      self._logbook.progress(step, config.steps, rate, metrics["loss"])
      self._clock, self._from = now, step
      self._watch(step, metrics)

  def _watch(self, step: int, metrics: dict[str, float]) -> None:
    """Says what the method finds wrong, once each time that it begins."""
    method = self._run.method
    if not isinstance(method, Watched):
      return
    self._history.append(metrics)
    found = {
      line.partition(":")[0]: line for line in method.health(self._history)
    }
    for name in found.keys() - self._warned:
      say(f"warning: step {step}: {found[name]}")
    self._warned = set(found)


def explain(run: Run, step: int) -> str:
  """Stores what a replay of a non-finite step needs; says how to run it."""
  folder = run.workdir / "failure"
  folder.mkdir(exist_ok=True)
  feed = run.feeder.feed(step - 1, 1)
  read = sharding.compile(
    lambda feed: run.feeder.batch(feed, jnp.int32(step - 1), 0),
    run.mesh,
    out_shardings=sharding.replicated(run.mesh),
  )
  batch = {k: to_host(v) for k, v in read(feed).items()}
  key = jax.random.fold_in(jax.random.key(run.config.seed), step - 1)
  if jax.process_index() == 0:
    np.savez(folder / "batch.npz", **batch)  # pyright: ignore[reportArgumentType]
    facts = {"step": step, "key": np.asarray(jax.random.key_data(key)).tolist()}
    workdir.write_json(folder / "failure.json", facts)
  return (
    f"the loss is not finite at step {step}; the last good checkpoint is kept,"
    f" the batch and key are in {folder}; replay with"
    f" python main.py --mode=replay --workdir={run.workdir}"
  )
