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
  old, done = recorded(run.workdir), max(_steps(run.workdir), default=0)
  # Until a checkpoint is there nothing was learned from the files, so that a
  # damaged one may still be put right or left out.
  free = () if done else ("data.on_error",)
  # Blocks of players that this game does not have count for nothing.
  idle = set(run.config.players) - set(run.method.players)
  free += tuple(f"players.{who}" for who in idle)
  if old:
    workdir.check_same(run.workdir, old.config, run.config, free)
  if old and done and old.data["fingerprint"] != run.train.fingerprint:
    raise workdir.RunError(
      f"{run.workdir} was trained on other data: {old.data['name']} of"
      f" {old.data['count']} examples with fingerprint"
      f" {old.data['fingerprint'][:12]}, not {run.train.fingerprint[:12]};"
      " give the same files, or another --workdir"
    )
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
  kept = Checkpoints(directory / "checkpoints", keep=1, read_only=True)
  with contextlib.closing(kept):
    return workdir.described(kept.read_meta())


def _steps(directory: pathlib.Path) -> list[int]:
  """Steps that have a checkpoint, by their folders, renamed when whole.

  Not by `Checkpoints`, which all processes open together: one may be late, and
  find what another has made meanwhile.
  """
  folders = (directory / "checkpoints").glob("[0-9]*")
  return [int(f.name) for f in folders if f.name.isdecimal()]
