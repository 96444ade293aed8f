"""Whether a method, its data and what is asked of it fit together."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from genlat import data
from genlat.data.source import Source
from genlat.methods.method import Method
from genlat.metrics import resize, scores


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


def chosen_metrics(settings: ConfigDict) -> list[str]:
  """Names in `config.evaluation.metrics`.

  Raises:
    ValueError: for a metric, split or resize that there is not.
  """
  # A list on the command line arrives as one word.
  chosen = [n for item in settings.metrics for n in item.split(",")]
  for key, names, known in (
    ("metrics", chosen, scores.METRICS),
    ("split", [settings.split], data.SPLITS),
    ("resize", [settings.resize], resize.RESIZES),
  ):
    for name in names:
      if name not in known:
        raise ValueError(
          f"config.evaluation.{key} must be of {', '.join(sorted(known))};"
          f" got {name!r}"
        )
  return chosen


def check_classes(classes: int, source: Source, key: str) -> None:
  """Raises ValueError where a method expects other labels than there are."""
  if len(source.classes) != classes:
    raise ValueError(
      f"the model is of {classes} classes, and {source.name} has"
      f" {len(source.classes)}: set config.{key}"
    )
