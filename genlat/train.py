"""The training loop: the same for every method.

A step is a pure function of (state, data): its batch, its key and so its
result follow from `state.step` alone. A run that was killed goes on from its
newest checkpoint and ends with the same bits.
"""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from genlat import data as datasets
from genlat import (
  evaluate,
  generation,
  identity,
  loading,
  pictures,
  priors,
  trained,
  workdir,
)
from genlat import run as runs
from genlat.checkpoint import Checkpoints, RunLock
from genlat.logbook import LateMetrics, Logbook
from genlat.recorder import Recorder
from genlat.run import Run, say
from genlat.state import State
from genlat.watchdog import Watchdog


def train(config: ConfigDict, directory: pathlib.Path) -> None:
  """Trains a run to its last step, or goes on where it stopped.

  Args:
    config: as a file in configs/ gives it.
    directory: the work directory; made where it is missing.

  Raises:
    ValueError: for values that make no run.
    RunError: where the directory holds another run.
    NonFinite: where the loss is no longer a number.
  """
  directory.mkdir(parents=True, exist_ok=True)
  with RunLock(directory):
    run = runs.prepare(config, directory)
    identity.adopt(run)
    with contextlib.closing(open_checkpoints(run)) as checkpoints:
      state = resume(run, checkpoints)
      logbook = Logbook(
        directory,
        tensorboard=run.config.log.tensorboard,
        wandb=run.config.log.wandb,
        resume_step=int(state.step),
      )
      with contextlib.closing(logbook), contextlib.closing(run.feeder):
        state = loop(run, state, checkpoints, logbook)
        if int(state.step) == run.config.steps:
          finish(run, state, logbook)


def open_checkpoints(run: Run, *, read_only: bool = False) -> Checkpoints:
  """The run's checkpoints."""
  return Checkpoints(
    run.workdir / "checkpoints",
    keep=run.config.checkpoint.keep,
    best_metric=run.config.checkpoint.best,
    read_only=read_only,
  )


def resume(run: Run, checkpoints: Checkpoints) -> State:
  """The newest sound state, or the one at step 0."""
  if checkpoints.latest() is None:
    return runs.initial_state(run)
  state, _, step = checkpoints.restore(run.abstract)
  say(f"goes on from step {step} of {run.config.steps}")
  return state


def loop(
  run: Run, state: State, checkpoints: Checkpoints, logbook: Logbook
) -> State:
  """Runs steps until the last one, or until SIGTERM; saves at the end."""
  config, late = run.config, LateMetrics()
  step, many = int(state.step), config.steps_per_call
  single = runs.compile_step(run, 1)
  several = runs.compile_step(run, many) if many > 1 else single
  shown = pictures.Pictures(run, logbook)
  record = Recorder(run, logbook)
  dog = Watchdog(config.log.watchdog if jax.process_count() > 1 else 0.0)
  compiled: set[int] = set()
  with stopper() as stopped:
    while step < config.steps and not stopped():
      calls = many if step + many <= config.steps else 1
      feed = run.feeder.feed(step, calls)
      dispatch = several if calls > 1 else single
      if calls not in compiled:
        dog.rest()  # the first dispatch of its kind holds the compilation
        compiled.add(calls)
      state, metrics, failed = dispatch(state, feed)
      due = lambda every, a=step, b=step + calls: b // every > a // every
      step += calls
      last = step == config.steps
      logged = metrics if due(config.log.every) or last else {}
      ready = late.push(step, {"failed": failed, **logged})
      record(ready)
      if ready:  # a step has finished, not only left for the devices
        dog.beat()
      if last or due(config.checkpoint.every):
        record(late.flush())
        with dog.resting():  # the write before this one may take its time
          save(run, checkpoints, state, step, logbook)
      elif run.validation and due(config.log.validate):
        record(late.flush())
        with dog.resting():
          validate(run, state, step, logbook)
      if config.log.pictures and due(config.log.pictures) and not last:
        with dog.resting():
          shown(state, step)
    record(late.flush())
    dog.rest()
    if step < config.steps:
      if checkpoints.latest() != step:
        save(run, checkpoints, state, step, logbook)
      checkpoints.wait()
      say(f"stopped at step {step}; the same command goes on from there")
  checkpoints.wait()
  return state


def save(
  run: Run,
  checkpoints: Checkpoints,
  state: State,
  step: int,
  logbook: Logbook,
) -> None:
  """Starts to write a checkpoint, validated first where there is a split."""
  metrics = None
  if run.validation:
    metrics = validate(run, state, step, logbook)
  meta = identity.describe(run).as_json()
  checkpoints.save(step, state, meta, metrics)


def validate(
  run: Run, state: State, step: int, logbook: Logbook
) -> dict[str, float]:
  """Mean metrics over the validation split; written to the logbook."""
  assert run.validation is not None
  settings = run.config.evaluation
  step_of = evaluate.compile_values(
    generation.Key(run.method, run.preparation.binarise != "none"),
    run.preparation,
    run.mesh,
    settings.seed,
  )
  metrics = evaluate.means(
    step_of, state, run.validation, run.mesh, settings.batch_size
  )
  logbook.write(step, metrics, "validation")
  return metrics


def finish(run: Run, state: State, logbook: Logbook) -> None:
  """Fits the prior that the configuration names, and draws last pictures."""
  model = trained.Trained(
    run.config, run.method, state, run.train.image_shape, run.mesh
  )
  if run.config.prior.name != "none":
    prior = priors.load(run.workdir, model.step, run.config.prior.name)
    if prior and prior.law == priors.from_config(run.config):
      model = dataclasses.replace(model, prior=prior)
    else:
      model = fit_prior(model, run.config, run.workdir, run.train)
  pictures.Pictures(run, logbook).draw(model, int(state.step))
  say(f"done at step {int(state.step)}; pictures in {run.workdir / 'images'}")


def fit(config: ConfigDict, directory: pathlib.Path, checkpoint: str) -> None:
  """Fits a prior to the codes of a finished run.

  Args:
    config: the run's own but for `prior`, for what else may change, and for
      the keys of `flow` that the prior is made of: the method keeps its own.
    directory: the work directory.
    checkpoint: 'last', 'best' or a step.

  Raises:
    ValueError: for values that make no prior.
    RunError: where there is no run, or `config` is another run's.
  """
  own = workdir.read(directory).config.flow
  runs.check_ranges(config)
  priors.from_config(config)
  of_method = config.copy_and_resolve_references().unlock()
  for key in priors.flow_keys(config):
    of_method.flow[key] = own.get(key, config.flow[key])
  model = loading.load(directory, checkpoint, config=of_method.lock())
  source = datasets.load(config.data, "train")
  fit_prior(model, config, directory, source)


def fit_prior(
  model: trained.Trained,
  config: ConfigDict,
  directory: pathlib.Path,
  source: Any,
) -> trained.Trained:
  """Fits `config.prior` to the codes of a split, stores and returns it."""
  law, name = priors.from_config(config), config.prior.name
  say(f"fits the {name} prior to the codes of {len(source)} images")
  rows = np.array_split(np.arange(len(source)), max(1, len(source) // 4096))
  codes = [model.encode(source.read(part)["image"]) for part in rows]
  params = law.fit(np.concatenate(codes), config.seed)
  fitted = priors.Fitted(name, law, params)
  if jax.process_index() == 0:
    priors.save(directory, model.step, fitted)
  return dataclasses.replace(model, prior=fitted)


@contextlib.contextmanager
def stopper() -> Iterator[Callable[[], bool]]:
  """Whether to stop before a dispatch: SIGTERM came, to any process.

  Several processes agree on the dispatch through JAX's preemption notifier,
  which owns the signal there; every process must ask before each one, with a
  number that grows by one.
  """
  if jax.process_count() > 1:
    asked = itertools.count()
    yield lambda: multihost_utils.reached_preemption_sync_point(next(asked))
    return
  signals = []
  before = signal.signal(signal.SIGTERM, lambda *_: signals.append(True))
  try:
    yield lambda: bool(signals)
  finally:
    signal.signal(signal.SIGTERM, before)


def replay(config: ConfigDict, directory: pathlib.Path) -> None:
  """Repeats the step that failed, from the last good checkpoint on.

  Raises:
    FloatingPointError: names the operation that made the first nan.
    RunError: where no step has failed.
  """
  facts = directory / "failure" / "failure.json"
  if not facts.exists():
    raise workdir.RunError(
      f"no step of the run in {directory} has failed: {facts} is missing"
    )
  bad = json.loads(facts.read_text())["step"]
  run = runs.prepare(config, directory)
  identity.adopt(run)
  with contextlib.closing(open_checkpoints(run, read_only=True)) as checkpoints:
    state = resume(run, checkpoints)
  if int(state.step) >= bad:
    raise workdir.RunError(
      f"the run in {directory} went on after step {bad} failed: its newest"
      f" checkpoint is of step {int(state.step)}; there is nothing to replay"
    )
  single = runs.compile_step(run, 1, donate=False)
  for step in range(int(state.step), bad):
    feed = run.feeder.feed(step, 1)
    with jax.debug_nans(step + 1 == bad), jax.debug_infs(step + 1 == bad):
      state, metrics, failed = single(state, feed)
    if failed or step + 1 == bad:
      values = {k: float(v) for k, v in metrics.items()}
      say(f"step {step + 1}: {values}")
