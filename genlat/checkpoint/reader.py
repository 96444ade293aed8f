"""Reads one step and trusts nothing in it; all processes come out alike."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from genlat.checkpoint import record
from genlat.checkpoint.failures import CheckpointError, blame

PyTree = Any


def read_record(folder: pathlib.Path) -> dict[str, Any]:
  """All that was saved beside the state of a step.

  Raises:
    CheckpointError: if it is not what was written.
  """
  try:
    return record.read(folder / record.META / record.FILE)
  except CheckpointError as error:
    raise _damaged(folder, str(error)) from error


def read_step(
  folder: pathlib.Path, abstract: PyTree
) -> tuple[PyTree, dict[str, Any]]:
  """The state and the meta of a step.

  Args:
    folder: the step's directory.
    abstract: `jax.ShapeDtypeStruct` leaves that carry their sharding.

  Raises:
    ValueError: if the state is of another model.
    CheckpointError: if the step is damaged.
  """
  with _together(folder):
    saved = read_record(folder)
    if words := record.difference(saved["leaves"], abstract):
      raise ValueError(
        f"{_name(folder)} is of another model: {words}; use the config it was"
        " trained with, or another --workdir"
      )
    state = _read_arrays(folder, saved["leaves"], abstract)
  if leaf := record.damaged_leaf(saved["leaves"], state):
    raise _damaged(folder, f"leaf {leaf} is not what was saved")
  return state, saved["meta"]


def _read_arrays(
  folder: pathlib.Path, leaves: record.Table, abstract: PyTree
) -> PyTree:
  # Not by the manager, which ends with a barrier that a process whose own
  # part is damaged would never reach.
  handler = ocp.StandardCheckpointHandler()
  try:
    return handler.restore(
      folder / record.STATE,  # pyright: ignore[reportArgumentType]
      args=ocp.args.StandardRestore(abstract),
    )
  except Exception as error:  # of many kinds; either way it cannot be read
    raise _damaged(folder, blame(error, leaves)) from error
  finally:
    handler.close()


@contextlib.contextmanager
def _together(folder: pathlib.Path) -> Iterator[None]:
  """Makes a failure of one process one of all, so that none goes on alone."""
  failure = None
  try:
    yield
  except (CheckpointError, ValueError) as error:
    failure = error
  failed = np.atleast_1d(failure is not None)
  if jax.process_count() > 1:
    failed = np.ravel(multihost_utils.process_allgather(failed))
  if failure is not None:
    raise failure
  if failed.any():
    raise _damaged(folder, f"process {failed.argmax()} cannot read it")


def _name(folder: pathlib.Path) -> str:
  return f"checkpoint {folder.name} in {folder.parent}"


def _damaged(folder: pathlib.Path, why: str) -> CheckpointError:
  return CheckpointError(f"{_name(folder)} is damaged: {why}")
