"""Densities over codes, fitted after training; kept beside the run."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as serialised

from genlat import files
from genlat.priors.flow import FlowPrior
from genlat.priors.gaussian import Gaussian
from genlat.priors.mixture import Mixture
from genlat.priors.prior import Fitted, Law

__all__ = [
  "PRIORS",
  "Fitted",
  "Law",
  "flow_keys",
  "from_config",
  "load",
  "save",
]

PRIORS: dict[str, Any] = {
  "flow": FlowPrior,
  "gaussian": Gaussian,
  "mixture": Mixture,
}


def from_config(config: ConfigDict) -> Law:
  """The law that `config.prior` and, for a flow, `config.flow` describe.

  Raises:
    ValueError: for an unknown name.
  """
  name = config.prior.name
  if name not in PRIORS:
    raise ValueError(
      f"config.prior.name must be one of {', '.join(sorted(PRIORS))};"
      f" got {name!r}"
    )
  if name == "flow" and config.flow.batch_norm:
    raise ValueError(
      "a flow prior has no BatchNorm: set config.flow.batch_norm=False"
    )
  values = {**config.flow.to_dict(), **config.prior.to_dict()}
  values["dimension"] = config.model.latent
  fields = [field.name for field in dataclasses.fields(PRIORS[name])]
  return PRIORS[name](**{field: values[field] for field in fields})


def flow_keys(config: ConfigDict) -> tuple[str, ...]:
  """Keys of `config.flow` that the law of `config.prior` follows from."""
  law = PRIORS[config.prior.name]
  read = {field.name for field in dataclasses.fields(law)}
  if law is FlowPrior:
    read.add("batch_norm")  # which has to be off
  return tuple(key for key in config.flow if key in read)


def save(root: pathlib.Path, step: int, fitted: Fitted) -> pathlib.Path:
  """Stores a prior for the checkpoint of this step; returns its file."""
  folder = root / "priors"
  flat = traverse_util.flatten_dict(fitted.params, sep="/")
  arrays = {k: np.ascontiguousarray(v) for k, v in flat.items()}
  law = {"name": fitted.name, **dataclasses.asdict(fitted.law)}  # pyright: ignore
  path = folder / f"{step}-{fitted.name}.safetensors"
  whole = serialised(arrays, metadata={"law": json.dumps(law)})
  with files.whole(path) as draft:
    # Not by the library's own hand: a full disk is then the system's error.
    draft.write_bytes(whole)
  return path


def load(root: pathlib.Path, step: int, name: str = "none") -> Fitted | None:
  """A prior fitted to this step's codes, or None.

  Args:
    root: the work directory.
    step: of the checkpoint.
    name: of the law; 'none' for the one that was fitted last.

  Raises:
    ValueError: if its file is damaged.
  """
  pattern = f"{step}-{'*' if name == 'none' else name}.safetensors"
  found = sorted((root / "priors").glob(pattern), key=os.path.getmtime)
  if not found:
    return None
  path = found[-1]
  try:
    with safe_open(path, "numpy") as file:
      law = json.loads(file.metadata()["law"])
    flat = jax.tree.map(jnp.asarray, load_file(path))
  except (SafetensorError, ValueError) as error:
    raise ValueError(
      f"{path} is damaged ({error}); delete it and fit the prior again with"
      " --mode=fit"
    ) from error
  name = law.pop("name")
  params = traverse_util.unflatten_dict(flat, sep="/")
  return Fitted(name, PRIORS[name](**law), params)
