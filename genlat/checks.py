"""Whether a method, its data and what is asked of it fit together."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from genlat.data.source import Source
from genlat.methods.method import Method


def check_best(
  config: ConfigDict, method: Method, shape: tuple[int, int, int]
) -> None:
  """Raises ValueError where the best metric is none of the method's."""
  if not config.checkpoint.best:
    return
  image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
  number = jax.ShapeDtypeStruct((1,), jnp.int32)
  batch = {"image": image, "index": number, "label": number}
  key = jax.random.key(0)
  state = jax.eval_shape(method.init, key, batch)
  known = sorted(jax.eval_shape(method.eval_step, state, batch, key))
  if config.checkpoint.best not in known:
    raise ValueError(
      f"config.checkpoint.best must be one of {', '.join(known)};"
      f" got {config.checkpoint.best!r}"
    )


def check_classes(classes: int, source: Source, key: str) -> None:
  """Raises ValueError where a method expects other labels than there are."""
  if len(source.classes) != classes:
    raise ValueError(
      f"the model is of {classes} classes, and {source.name} has"
      f" {len(source.classes)}: set config.{key}"
    )
