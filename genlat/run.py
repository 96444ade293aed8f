"""What a run is made of, and its compiled train step."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from genlat import checks, generation, methods, scans, sharding
from genlat import data as datasets
from genlat.data import crops
from genlat.data import feeder as feeders
from genlat.data.images import Preparation
from genlat.data.source import Source
from genlat.methods.method import Classifying, Conditional, Method
from genlat.state import Metrics, State
from genlat.texts import told

AT_LEAST_ONE = (
  "checkpoint.every",
  "checkpoint.keep",
  "evaluation.batch_size",
  "evaluation.classifier_steps",
  "evaluation.importance_samples",
  "evaluation.samples",
  "flow.bins",
  "flow.blocks",
  "flow.hidden",
  "log.every",
  "log.validate",
  "model.hidden",
  "optimizer.accumulate",
  "prior.batch_size",
  "prior.components",
  "steps_per_call",
  "text.batch_size",
  "text.size",
  "text.steps",
)
AT_LEAST_ZERO = (
  "data.resident_limit",
  "evaluation.diversity_side",
  "evaluation.limit",
  "likelihood.levels",
  "log.pictures",
  "log.watchdog",
  "optimizer.clip",
  "optimizer.decay_factor",
  "optimizer.l2",
  "optimizer.warmup",
  "optimizer.weight_decay",
)
BELOW_ONE = (
  "data.validation",
  "ema",
  "flow.bn_momentum",
  "optimizer.b1",
  "optimizer.b2",
  "optimizer.momentum",
  "text.forget",
)
ABOVE_ZERO = (
  "flow.bound",
  "flow.clamp",
  "optimizer.eps",
  "optimizer.lr",
  "optimizer.lr_scale",
  "text.lr",
  "text.margin",
)


def say(line: str) -> None:
  """One line to the user, from one process."""
  if jax.process_index() == 0:
    print(f"genlat: {line}", file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Run:
  """What a run is made of.

  Attributes:
    config: resolved: `steps` and `epoch_steps` are set.
    workdir: where it lives.
    method: what is trained.
    mesh: all devices of all processes.
    train: the train split, as evaluation sees it: central squares where
      `data.random_crop` asks for squares.
    validation: the validation split, or None.
    feeder: of the train split, its images whole.
    preparation: of batches, on the devices.
  """

  config: ConfigDict
  workdir: pathlib.Path
  method: Method
  mesh: Mesh
  train: Source
  validation: Source | None
  feeder: feeders.Feeder
  preparation: Preparation

  @property
  def convolutional(self) -> bool:
    """Whether a turn of a step runs a convolution."""
    return any(p.convolutional for p in self.method.players.values())

  @functools.cached_property
  def abstract(self) -> State:
    """Shapes and shardings of the state."""
    shape = self.train.image_shape
    return generation.abstract_state(self.method, shape, self.mesh)

  @property
  def layout(self) -> Any:
    """Shardings of the state."""
    return jax.tree.map(lambda x: x.sharding, self.abstract)


def check_ranges(config: ConfigDict) -> None:
  """Raises ValueError for a number out of range, by its key."""
  ranges: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (AT_LEAST_ONE, lambda x: x >= 1, "at least 1"),
    (AT_LEAST_ZERO, lambda x: x >= 0, "at least 0"),
    (ABOVE_ZERO, lambda x: x > 0, "above 0"),
    (BELOW_ONE, lambda x: 0 <= x < 1, "in [0, 1)"),
  )
  for keys, fits, bounds in ranges:
    for asked in keys:
      for key, value in _values(config, asked):
        if not isinstance(value, int | float) or not fits(value):
          raise ValueError(f"config.{key} must be {bounds}; got {value}")


def _values(config: ConfigDict, key: str) -> Iterator[tuple[str, Any]]:
  """A key's value, and of the optimiser's keys each player's own."""
  block, _, name = key.rpartition(".")
  yield key, (config[block] if block else config)[name]
  if block == "optimizer":
    for who, own in config.players.items():
      if isinstance(own, ConfigDict) and name in own:
        yield f"players.{who}.{name}", own[name]


def resolve(config: ConfigDict, source: Source) -> ConfigDict:
  """A copy of the configuration with all that follows from the data set.

  Raises:
    ValueError: for a batch larger than the data, or nothing to train.
  """
  config = config.copy_and_resolve_references().unlock()
  check_ranges(config)
  checks.chosen_metrics(config.evaluation)
  if config.batch_size < 1 or config.batch_size > len(source):
    raise ValueError(
      f"config.batch_size must be 1 to {len(source)}, the size of the train"
      f" split; got {config.batch_size}"
    )
  config.epoch_steps = len(source) // config.batch_size
  if not config.steps:
    config.steps = round(config.epochs * config.epoch_steps)
  if config.steps < 1:
    raise ValueError(
      "nothing to train: config.steps or config.epochs must be above 0;"
      f" got {config.steps} and {config.epochs}"
    )
  if config.checkpoint.best and not config.data.validation:
    raise ValueError(
      "config.checkpoint.best needs a validation split: set"
      " config.data.validation to a share of the train split, such as 0.1"
    )
  return config.lock()


def prepare(config: ConfigDict, directory: pathlib.Path) -> Run:
  """Opens the data and builds everything that a run needs."""
  whole = datasets.load(config.data, "train", whole=True)
  source = crops.central(whole, crops.side_of(config.data))
  validation = None
  if config.data.validation:
    validation = datasets.load(config.data, "validation")
  config = resolve(config, source)
  mesh = generation.make_mesh(config.mesh.fsdp)
  method = methods.build(config, source.image_shape)
  checks.check_best(config, method, source.image_shape)
  if isinstance(method, Conditional) and method.labelled:
    checks.check_classes(method.classes, source, "aae.classes")
  if isinstance(method, Classifying):
    checks.check_classes(method.classes, source, "draw.classes")
  # Last: it may train an encoder for minutes.
  if isinstance(method, Conditional) and method.text:
    source = told.for_run(source, config.text, directory, config.seed, say)
    whole = source.beside(whole)
  run = Run(
    config=config,
    workdir=directory,
    method=method,
    mesh=mesh,
    train=source,
    validation=validation,
    feeder=feeders.make_feeder(
      datasets.fed(whole),
      mesh,
      kind=config.data.feeder,
      batch_size=config.batch_size,
      seed=config.seed,
      steps_per_call=config.steps_per_call,
      resident_limit_gib=config.data.resident_limit,
      threads=config.data.threads,
      prefetch=config.data.prefetch,
    ),
    preparation=Preparation.from_config(config.data),
  )
  if config.steps_per_call > 1 and not scans.rolled(run.convolutional):
    say(
      f"steps_per_call {config.steps_per_call} -> 1: a rolled convolution is"
      " 15 times slower on this platform"
    )
    with config.unlocked():
      config.steps_per_call = 1
  return run


def initial_state(run: Run) -> State:
  """The state at step 0, made in place on the mesh."""
  shape = (1, *run.train.image_shape)
  init = sharding.compile(
    lambda key: run.method.init(key, {"image": jnp.zeros(shape)}),
    run.mesh,
    out_shardings=run.layout,
  )
  state = init(jax.random.fold_in(jax.random.key(run.config.seed), 2**31))
  read = run.method.frozen()
  if isinstance(run.train, told.Told):
    count = len(state.frozen["captions"])
    read = {**read, "captions": run.train.bank(count)}
  placed = {
    name: jax.device_put(weights, run.layout.frozen[name])
    for name, weights in read.items()
  }
  return state.replace(frozen={**state.frozen, **placed})


def compile_step(
  run: Run, calls: int, *, donate: bool = True
) -> Callable[[State, Any], tuple[State, Metrics, jax.Array]]:
  """`calls` train steps in one dispatch.

  Args:
    run: whose steps.
    calls: how many; the loop over them is rolled.
    donate: whether the state's buffers are reused for the result.

  Returns:
    (state, feed) -> (state, metrics of the last step, `[]` int32 the first
    step whose metrics are not finite, or 0).
  """
  seed = run.config.seed

  def one(state: State, feed: Any, i: int | jax.Array):
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    on_data, on_step = jax.random.split(key)
    batch = run.feeder.batch(feed, state.step, i)
    batch = run.preparation(batch, on_data, train=True)
    state, metrics = run.method.train_step(state, batch, on_step)
    finite = jnp.stack([jnp.isfinite(v) for v in metrics.values()]).all()
    return state, (metrics, jnp.where(finite, 0, state.step))

  def step(state: State, feed: Any):
    if calls == 1:
      state, (metrics, failed) = one(state, feed, 0)
      return state, metrics, failed
    state, (metrics, failed) = scans.scan(
      lambda state, i: one(state, feed, i),
      state,
      jnp.arange(calls),
      convolutional=run.convolutional,
    )
    # The first that failed; all after it fail too.
    failed = jnp.where(failed.any(), failed[(failed > 0).argmax()], 0)
    return state, jax.tree.map(lambda x: x[-1], metrics), failed

  whole = sharding.replicated(run.mesh)
  return sharding.compile(
    step,
    run.mesh,
    out_shardings=(run.layout, whole, whole),
    donate=(0,) if donate else (),
  )
