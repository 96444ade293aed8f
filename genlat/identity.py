"""Which run a work directory holds."""

import contextlib
import pathlib

import jax

from genlat import workdir
from genlat.checkpoint import Checkpoints
from genlat.run import Run


def describe(run: Run) -> workdir.Description:
  """What `run.json` says of the run."""
  return workdir.Description(
    config=run.config,
    image_shape=run.train.image_shape,
    data={
      "name": run.train.name,
      "count": len(run.train),
      "fingerprint": run.train.fingerprint,
    },
    versions=workdir.versions(),
  )


def adopt(run: Run) -> None:
  """Writes the run's description, checked against the one there.

  Raises:
    RunError: where the work directory holds a run of another configuration,
      of other data, or of more steps.
    CheckpointError: where all that could tell is damaged.
  """
  old = recorded(run.workdir)
  if old:
    workdir.check_same(run.workdir, old.config, run.config)
  if old and old.data["fingerprint"] != run.train.fingerprint:
    raise workdir.RunError(
      f"{run.workdir} was trained on other data: {old.data['name']} of"
      f" {old.data['count']} examples with fingerprint"
      f" {old.data['fingerprint'][:12]}, not {run.train.fingerprint[:12]};"
      " give the same files, or another --workdir"
    )
  done = max(_steps(run.workdir), default=0)
  if done > run.config.steps:
    raise workdir.RunError(
      f"{run.workdir} holds a run of {done} steps, more than the"
      f" {run.config.steps} asked for; raise config.epochs or config.steps, or"
      " give another --workdir (other modes take --checkpoint=STEP)"
    )
  if jax.process_index() == 0:
    workdir.write(run.workdir, describe(run))


def recorded(directory: pathlib.Path) -> workdir.Description | None:
  """The run's description; without its file, that of the newest checkpoint."""
  if (directory / "run.json").exists():
    return workdir.read(directory)
  if not _steps(directory):
    return None
  with _kept(directory) as kept:
    return workdir.described(kept.read_meta())


def _steps(directory: pathlib.Path) -> list[int]:
  """Steps of the run that have a checkpoint."""
  if not (directory / "checkpoints").exists():
    return []
  with _kept(directory) as kept:
    return kept.steps()


def _kept(directory: pathlib.Path) -> contextlib.closing[Checkpoints]:
  folder = directory / "checkpoints"
  return contextlib.closing(Checkpoints(folder, keep=1, read_only=True))
