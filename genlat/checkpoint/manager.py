"""The checkpoints of a run.

Orbax's `CheckpointManager` writes asynchronously and renames into place, so a
directory named by a step is whole. What Orbax does not notice is covered here:
a damaged bit and a changed dtype by one fingerprint per leaf, a damaged
description by a digest. A checkpoint is strict about the tree and free about
the mesh.
"""

import contextlib
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from genlat.checkpoint import record
from genlat.checkpoint.best import Best
from genlat.checkpoint.failures import (
  CheckpointError,
  cause,
  quieten_orbax,
)
from genlat.checkpoint.reader import read_record, read_step

PyTree = Any


class Checkpoints:
  """The checkpoints of one run, by step."""

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    keep: int,
    best_metric: str = "",
    best_mode: str = "min",
    read_only: bool = False,
  ) -> None:
    """Opens a directory; what earlier runs left half done is removed.

    Args:
      directory: one subdirectory a step is kept in it.
      keep: how many of the newest steps are kept.
      best_metric: name of the metric whose best step is kept too; '' = none.
      best_mode: 'min' or 'max'.
      read_only: touch nothing, so that a run may be training meanwhile.

    Raises:
      ValueError: if `keep` is not positive or `best_mode` unknown.
      CheckpointError: if the directory cannot be used.
    """
    if keep < 1:
      raise ValueError(f"at least 1 checkpoint must be kept; got {keep}")
    quieten_orbax()
    self.directory = pathlib.Path(directory).absolute()
    self._best = Best(best_metric, best_mode)
    self._read_only = read_only
    self._writing = 0
    self._empty_trash()
    try:
      self._manager = self._open(keep)
    except OSError as error:
      raise CheckpointError(
        f"checkpoints cannot be kept in {self.directory}: {cause(error)}"
      ) from error
    # The loop asks for preemption itself; a second question from Orbax's
    # thread, with an older step, would spoil the agreement of the processes.
    self._manager.reached_preemption = lambda step: False
    self._refresh()

  def _open(self, keep: int) -> ocp.CheckpointManager:
    policies = ocp.checkpoint_managers
    return ocp.CheckpointManager(
      self.directory,
      item_handlers={
        record.STATE: ocp.StandardCheckpointHandler(),
        record.META: ocp.JsonCheckpointHandler(filename=record.FILE),
      },
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(
          [policies.LatestN(keep), self._best]
        ),
        # A rename, since a death within a deletion leaves half a step.
        todelete_subdir="trash",
        cleanup_tmp_directories=True,
        read_only=self._read_only,  # takes back the two above
      ),
    )

  def steps(self) -> list[int]:
    """All steps in order, the one being written included."""
    return sorted(self._manager.all_steps())

  def latest(self) -> int | None:
    """The newest step, or None."""
    return max(self.steps(), default=None)

  def best(self) -> int | None:
    """The step with the best metric, the later of equals, or None."""
    return self._best.choose(self.steps())

  def save(
    self,
    step: int,
    state: PyTree,
    meta: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """Starts to write a step; waits for the one before it, not for this one.

    Args:
      step: larger than every step kept.
      state: a tree of arrays; it may be donated as soon as this returns.
      meta: anything JSON can hold; it comes back with the state.
      metrics: holds `best_metric` where there is one; None = not evaluated.

    Raises:
      ValueError: if `best_metric` is not among the metrics.
      CheckpointError: if this step or the one before it cannot be written.
    """
    score = self._best.score(metrics)
    leaves = record.table(state)
    sealed = record.seal({"meta": meta, "leaves": leaves, "score": score})
    self.wait()
    newest = self.latest()
    if newest is not None and step <= newest:
      raise CheckpointError(
        f"checkpoint {step} is not newer than those in {self.directory}:"
        f" {self.steps()}; move them away or give another --workdir"
      )
    self._writing, self._best.scores[step] = step, score
    with self._told():
      saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          **{
            record.STATE: ocp.args.StandardSave(state),
            record.META: ocp.args.JsonSave(sealed),
          }
        ),
      )
      if not saved:
        raise OSError("Orbax declined to write it")

  def wait(self) -> None:
    """Blocks until the step being written is whole.

    Raises:
      CheckpointError: if it cannot be written.
    """
    with self._told():
      self._manager.wait_until_finished()
    self._empty_trash()

  def close(self) -> None:
    """Waits, then stops Orbax's threads."""
    try:
      self.wait()
    finally:
      self._manager.close()

  def restore(
    self, abstract: PyTree, step: int | str = "last"
  ) -> tuple[PyTree, dict[str, Any], int]:
    """Reads a state onto any mesh.

    Args:
      abstract: `jax.ShapeDtypeStruct` leaves that carry their sharding.
      step: a number, 'best', or 'last': the newest that is sound. Damaged
        steps after it are named on stderr and moved to `damaged/`.

    Returns:
      The state, its meta and its step.

    Raises:
      ValueError: if the state is of another model, or no such step exists.
      CheckpointError: if the step is damaged, or no step is sound.
    """
    self.wait()
    if step != "last":
      step = self._number(step)
      return *read_step(self._folder(step), abstract), step
    damaged: list[int] = []
    for number in reversed(self.steps()):
      try:
        state, meta = read_step(self._folder(number), abstract)
      except CheckpointError as error:
        if jax.process_index() == 0:
          print(f"genlat: {error}; trying an older one", file=sys.stderr)
        damaged.append(number)
        continue
      self._set_aside(damaged)
      return state, meta, number
    raise CheckpointError(self._nothing())

  def read_meta(self, step: int | str = "last") -> dict[str, Any]:
    """The meta of a step as it was given, without its state.

    Args:
      step: as for `restore`; 'last' is the newest whose meta is sound.

    Raises:
      ValueError: if no such step exists.
      CheckpointError: if the step is damaged, or no step is sound.
    """
    self.wait()
    if step != "last":
      return read_record(self._folder(self._number(step)))["meta"]
    for number in reversed(self.steps()):
      with contextlib.suppress(CheckpointError):
        return read_record(self._folder(number))["meta"]
    raise CheckpointError(self._nothing())

  def _number(self, step: int | str) -> int:
    if step == "best" and not self._best.metric:
      raise ValueError(
        "checkpoint 'best' needs a validation split and a metric: train with"
        " --config.data.validation=0.05 --config.checkpoint.best=METRIC, or"
        " ask for 'last' or a step"
      )
    number = self.best() if step == "best" else step
    if number not in self.steps():
      raise ValueError(
        f"no checkpoint {step!r} in {self.directory}; there are"
        f" {self.steps()} and 'last'"
      )
    return int(number)

  def _nothing(self) -> str:
    if self.steps():
      return (
        f"all checkpoints in {self.directory}, {self.steps()}, are damaged:"
        " move that folder away to start anew, or give another --workdir"
      )
    return (
      f"no checkpoint to restore in {self.directory}; train first"
      " (--mode=train), or give the --workdir of another run"
    )

  def _folder(self, step: int) -> pathlib.Path:
    return self.directory / str(step)

  def _refresh(self) -> None:
    """Learns again which steps there are, and their scores."""
    self._manager.reload()
    self._best.scores.clear()
    for step in self.steps():
      with contextlib.suppress(CheckpointError):
        self._best.scores[step] = read_record(self._folder(step))["score"]

  def _set_aside(self, damaged: Sequence[int]) -> None:
    """Moves damaged steps out of the way of those that will be written."""
    if self._read_only or not damaged:
      return
    if jax.process_index() == 0:
      for step in damaged:
        target = self.directory / "damaged" / str(step)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        self._folder(step).rename(target)
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices("genlat: damaged steps moved")
    self._refresh()

  def _empty_trash(self) -> None:
    if not self._read_only and jax.process_index() == 0:
      shutil.rmtree(self.directory / "trash", ignore_errors=True)

  @contextlib.contextmanager
  def _told(self) -> Iterator[None]:
    """Turns what a write raises into one line, and removes its remains."""
    try:
      yield
    except Exception as error:  # Orbax raises many kinds, from many threads
      if jax.process_index() == 0:
        for rest in self.directory.glob("*.orbax-checkpoint-tmp*"):
          shutil.rmtree(rest, ignore_errors=True)
      self._refresh()
      raise CheckpointError(
        f"checkpoint {self._writing} was not written to {self.directory}:"
        f" {cause(error)}; kept: {self.steps()}; free space there or move the"
        " work directory to another disk, then start the same command again"
      ) from error
