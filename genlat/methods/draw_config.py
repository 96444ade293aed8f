"""What `config.draw` says: the recurrent network, and values that make none."""

import functools
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from genlat.methods.autoencoding import DTYPES
from genlat.nets.conv_draw import ConvDraw
from genlat.nets.draw import Draw as Network
from genlat.nets.draw_convolutions import ReadNet, WriteNet, strides


def network(
  config: ConfigDict, image_shape: tuple[int, int, int]
) -> Network | ConvDraw:
  """The recurrent network of the method.

  Args:
    config: of the run, checked.
    image_shape: H, W, C.

  Raises:
    ValueError: for images or convolutions of sizes that do not fit.
  """
  block, model = config.draw, config.model
  if config.method == "conv_draw_b":
    if image_shape[0] % 2 or image_shape[1] % 2:
      raise ValueError(
        "conv_draw_b halves its images: they need even sides; got"
        f" {image_shape[0]} x {image_shape[1]}"
      )
    return ConvDraw(
      image_shape=image_shape,
      steps=block.steps,
      hidden=block.hidden,
      latent=model.latent,
      dtype=DTYPES[model.dtype],
      remat=model.remat,
    )
  convolutions = {}
  if config.method == "conv_draw":
    convolutions = _convolutions(config, image_shape)
  return Network(
    image_shape=image_shape,
    steps=block.steps,
    hidden=block.hidden,
    latent=model.latent,
    read=block.read,
    write=block.write,
    error_image=block.error_image,
    learned_start=block.learned_start,
    learned_cell=block.learned_cell,
    dtype=DTYPES[model.dtype],
    remat=model.remat,
    unroll=block.unroll,
    **convolutions,
  )


def _convolutions(
  config: ConfigDict, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
  """The networks of variant A (draw.md 6.1)."""
  block = config.draw
  height, width, c = image_shape
  channels, dtype = tuple(block.channels), DTYPES[config.model.dtype]
  if not channels or min(channels) < 1:
    raise ValueError(
      f"config.draw.channels must be numbers of at least 1; got {channels}"
    )
  for n in (block.read, block.write):
    strides(n or min(height, width), len(channels), not n)
  stroke = (block.write, block.write) if block.write else (height, width)
  shape: Any = (*stroke, c)
  return {
    "read_net": functools.partial(
      ReadNet, channels=channels, whole=not block.read, dtype=dtype
    ),
    "write_net": functools.partial(
      WriteNet,
      shape=shape,
      channels=channels,
      whole=not block.write,
      dtype=dtype,
    ),
  }


def check_idle(config: ConfigDict, idle: Mapping[str, Any]) -> None:
  """Raises ValueError for a key that the method has no use for.

  Args:
    config: of the run.
    idle: defaults, by key of `config.draw`.
  """
  for key, default in idle.items():
    if config.draw[key] != default:
      raise ValueError(
        f"{config.method} has no config.draw.{key}: leave it at {default}"
      )


def check(config: ConfigDict) -> None:
  """Raises ValueError for values that make no network."""
  block, model = config.draw, config.model
  least = {"steps": 1, "hidden": 1, "read": 0, "write": 0, "unroll": 1}
  for key, low in least.items():
    if block[key] < low:
      raise ValueError(
        f"config.draw.{key} must be at least {low}; got {block[key]}"
      )
  weights = tuple(block.kl_weights)
  if weights and len(weights) != block.steps:
    raise ValueError(
      f"config.draw.kl_weights must be {block.steps} numbers, one a step, or"
      f" none; got {len(weights)}"
    )
  if min((block.kl_weight, *weights)) < 0:
    raise ValueError("config.draw.kl_weight and kl_weights must be 0 or more")
  if model.latent < 1:
    raise ValueError(
      f"config.model.latent must be at least 1; got {model.latent}"
    )
  if model.dtype not in DTYPES:
    raise ValueError(
      f"config.model.dtype must be one of {', '.join(DTYPES)};"
      f" got {model.dtype!r}"
    )
  if config.method == "conv_draw_b":
    idle = {
      **{"read": 5, "write": 5, "error_image": True, "learned_start": True},
      **{"learned_cell": False, "unroll": 1},
    }
    check_idle(config, idle)
  if config.prior.name != "none":
    raise ValueError(
      "codes of draw are no vectors that a prior is fitted to after training:"
      " set config.prior.name to none"
    )
  if config.likelihood.activation != "sigmoid":
    raise ValueError(
      "draw compares an image with the sigmoid of its canvas: set"
      " config.likelihood.activation to sigmoid"
    )
  if config.likelihood.name == "perceptual":
    raise ValueError(
      "draw takes config.likelihood.name bernoulli, gaussian, logistic, l1 or"
      " l2; got 'perceptual'"
    )
