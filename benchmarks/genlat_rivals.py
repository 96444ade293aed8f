"""genlat's own train step as a rival: feeder, preparation, step, checks.

It is the compiled function of the training loop on images that lie in memory
as uint8: the gather of the batch, its scaling and the test for non-finite
values are part of the time, logging and checkpoints are not.
"""

import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.alternate import Rival
from genlat import data as datasets
from genlat import generation, methods, sharding
from genlat import run as runs
from genlat.data import feeder as feeders
from genlat.data.images import Preparation
from genlat.data.source import ArraySource, Source
from genlat.methods.method import Method

sharding.raise_nproc()

LATE = 2  # dispatches in flight, as in the training loop


def random_source(count: int, shape: tuple[int, int, int]) -> ArraySource:
  """`count` random images of `shape` H, W, C."""
  pixels = np.random.default_rng(0).integers(
    256, size=(count, *shape), dtype=np.uint8
  )
  return ArraySource("random", {"image": pixels})


def make_run(
  config: ConfigDict, source: Source, method: Method | None = None
) -> runs.Run:
  """A run over `source` that lives nowhere on disk.

  Args:
    config: as a file in configs/ gives it; of its data keys those of the
      feeder and of the images' preparation are read.
    source: the train split.
    method: instead of the one that the configuration names.
  """
  config = runs.resolve(config, source)
  mesh = generation.make_mesh(config.mesh.fsdp)
  return runs.Run(
    config=config,
    workdir=pathlib.Path(),
    method=method or methods.build(config, source.image_shape),
    mesh=mesh,
    train=source,
    validation=None,
    feeder=feeders.make_feeder(
      datasets.fed(source),
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


def rival(name: str, run: runs.Run, steps: int) -> Rival:
  """The run's train step, `config.steps_per_call` of them a dispatch.

  Args:
    name: as the table shows it.
    run: of `make_run`.
    steps: number of steps a call makes, at least; whole dispatches.
  """
  calls = run.config.steps_per_call
  dispatch = runs.compile_step(run, calls)
  state: Any = runs.initial_state(run)
  done = 0

  def go() -> None:
    nonlocal state, done
    late = []
    for _ in range(-(-steps // calls)):
      feed = run.feeder.feed(done, calls)
      state, _, finite = dispatch(state, feed)
      done += calls
      late.append(finite)
      if len(late) > LATE:
        late.pop(0).block_until_ready()
    jax.block_until_ready(state)

  return Rival(name, go, -(-steps // calls) * calls)


def count(run: runs.Run) -> int:
  """Number of trained parameters."""
  return sum(
    int(np.prod(x.shape)) for x in jax.tree.leaves(run.abstract.params)
  )
