"""Loads a run as a trained model."""

import dataclasses
import os
import pathlib

import jax
from ml_collections import ConfigDict

from genlat import methods, priors, workdir
from genlat.checkpoint import Checkpoints
from genlat.generation import abstract_state, make_mesh
from genlat.texts import captions, told
from genlat.trained import Trained


def load(
  directory: str | os.PathLike[str],
  checkpoint: str | int = "last",
  *,
  config: ConfigDict | None = None,
) -> Trained:
  """Loads a run.

  Args:
    directory: its work directory.
    checkpoint: 'last', 'best' or a step.
    config: the run's configuration with changeable keys overridden.

  Returns:
    The model, with averaged weights where the run kept them. A prior that
    was fitted to this checkpoint's codes is used where `config.prior.name`
    names it, or where the method has no prior of its own.

  Raises:
    RunError: where there is no run, or `config` is another run's.
    CheckpointError: where no such checkpoint can be restored.
  """
  root = pathlib.Path(directory)
  description = workdir.read(root)
  if config is None:
    config = description.config
  else:
    workdir.check_same(root, description.config, config)
    config = config.copy_and_resolve_references().unlock()
    for key in ("steps", "epoch_steps"):
      config[key] = description.config[key]
    config.lock()
  # A model fits any number of devices, whatever it was trained on.
  fsdp = config.mesh.fsdp
  mesh = make_mesh(fsdp if jax.device_count() % fsdp == 0 else 1)
  try:
    method = methods.build(config, description.image_shape)
  except (AttributeError, KeyError) as error:
    raise workdir.RunError(
      f"{root} was written by genlat {description.versions.get('genlat')},"
      f" whose configuration lacks a key of this one: {error}; from a"
      " checkout give config=configs.run.get_config(workdir), which has today's"
      " default"
    ) from error
  abstract = abstract_state(method, description.image_shape, mesh)
  checkpoints = Checkpoints(
    root / "checkpoints",
    keep=config.checkpoint.keep,
    best_metric=config.checkpoint.best,
    read_only=True,
  )
  state, _, _ = checkpoints.restore(abstract, _step(checkpoint))
  checkpoints.close()
  model = Trained(
    config,
    method,
    state,
    description.image_shape,
    mesh,
  )
  if model.text and not config.text.vectors:
    encoder = _encoder(root, description.data["fingerprint"])
    model = dataclasses.replace(model, captions=encoder)
  name = config.prior.name
  if name == "none" and method.generative:
    return model
  return dataclasses.replace(model, prior=priors.load(root, model.step, name))


def _encoder(root: pathlib.Path, fingerprint: str) -> captions.Captions:
  """The run's encoder of captions, which its data's fingerprint ends in."""
  encoder = captions.read(root / told.ENCODER)
  if not fingerprint.endswith(f"-{encoder.sha256[:16]}"):
    raise workdir.RunError(
      f"{root / told.ENCODER} is not the encoder that this run was trained"
      " with; put that one back"
    )
  return encoder


def _step(checkpoint: str | int) -> str | int:
  """'last', 'best', or the step as a number."""
  if checkpoint in ("last", "best") or isinstance(checkpoint, int):
    return checkpoint
  if checkpoint.isdecimal():
    return int(checkpoint)
  raise workdir.RunError(
    f"--checkpoint must be last, best or a step; got {checkpoint!r}"
  )
