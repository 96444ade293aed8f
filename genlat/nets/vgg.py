"""The convolutions of VGG-16 as a frozen feature network.

Simonyan & Zisserman 2015, configuration D, as torchvision numbers its layers
(`features[0]` to `features[30]`). GLF's perceptual loss reads it at 2, 7, 12,
21 and 30, of which the first three serve for 28 and 32 pixels and the first
four for 64. Since that network's rectifiers work in place, a tap that a
rectifier follows is read after it, while the last tap, where the pass ends, is
read before:

  3 levels: relu1_2, relu2_2, conv3_2
  4 levels: relu1_2, relu2_2, relu3_2, conv4_3
  5 levels: relu1_2, relu2_2, relu3_2, relu4_3, pool5
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PyTree = Any

TAPS = (2, 7, 12, 21, 30)

_DEPTHS = (2, 2, 3, 3, 3)  # convolutions before each pool
_LAYERS = tuple(
  layer for depth in _DEPTHS for layer in ("conv", "relu") * depth + ("pool",)
)
_CONVOLUTIONS = tuple(i for i, x in enumerate(_LAYERS) if x == "conv")

# ImageNet's mean and standard deviation per channel, pixels in [0, 1].
_MEAN = np.array([[[[0.485, 0.456, 0.406]]]], np.float32)
_STD = np.array([[[[0.229, 0.224, 0.225]]]], np.float32)


def load_params(arrays: Mapping[str, np.ndarray], levels: int) -> PyTree:
  """The convolutions that some levels need.

  Args:
    arrays: `VGG16_0/Conv_<n>/kernel` (HWIO) and `/bias`, as
      `genlat.weights.load` reads them, or torchvision's `features.<i>.weight`
      (OIHW) and `.bias`.
    levels: number of taps, 1 to 5.

  Returns:
    `{'conv<i>': {'kernel': HWIO, 'bias': [O]}}`, i as torchvision counts,
    float32.

  Raises:
    ValueError: for another number of levels, or if an array is missing.
  """
  last = _check_levels(levels)
  params = {}
  for n, index in enumerate(_CONVOLUTIONS):
    if index > last:
      break
    names = [f"VGG16_0/Conv_{n}/kernel", f"VGG16_0/Conv_{n}/bias"]
    order = (0, 1, 2, 3)
    if names[0] not in arrays:
      names = [f"features.{index}.weight", f"features.{index}.bias"]
      order = (2, 3, 1, 0)
    missing = [name for name in names if name not in arrays]
    if missing:
      raise ValueError(
        f"expected the convolutions of VGG-16; {missing[0]!r} is not among"
        f" the {len(arrays)} arrays of the file"
      )
    kernel, bias = (arrays[name] for name in names)
    params[f"conv{index}"] = {
      "kernel": jnp.asarray(kernel.transpose(order), jnp.float32),
      "bias": jnp.asarray(bias, jnp.float32),
    }
  return params


def shapes(levels: int) -> PyTree:
  """Shapes of what `load_params` returns, as `jax.ShapeDtypeStruct`."""
  last = _check_levels(levels)
  widths = [3] + [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
  return {
    f"conv{index}": {
      "kernel": jax.ShapeDtypeStruct((3, 3, *widths[n : n + 2]), jnp.float32),
      "bias": jax.ShapeDtypeStruct((widths[n + 1],), jnp.float32),
    }
    for n, index in enumerate(_CONVOLUTIONS)
    if index <= last
  }


def features(
  params: PyTree, images: jax.Array, levels: int
) -> tuple[jax.Array, ...]:
  """Activations at the first taps.

  Args:
    params: the result of `load_params` for at least as many levels.
    images: `[B, H, W, C]` in [0, 1], one channel or three; their type is that
      of the compute.
    levels: number of taps, 1 to 5.

  Returns:
    One `[B, h, w, c]` float32 per level.

  Raises:
    ValueError: for another number of levels or channels, or images smaller
      than the pools need.
  """
  last = _check_levels(levels)
  layers = _LAYERS[: last + 1]
  _check_images(images.shape, 2 ** layers.count("pool"))
  x = jnp.broadcast_to(images, (*images.shape[:-1], 3))
  x = (x - _MEAN.astype(x.dtype)) / _STD.astype(x.dtype)
  taps = []
  for index, layer in enumerate(layers):
    if layer == "conv":
      x = _conv(params[f"conv{index}"], x)
    else:
      x = jax.nn.relu(x) if layer == "relu" else _pool(x)
    if index in TAPS:
      followed = layers[index + 1 : index + 2] == ("relu",)
      taps.append(jax.nn.relu(x) if followed else x)
  return tuple(tap.astype(jnp.float32) for tap in taps)


def _check_levels(levels: int) -> int:
  if not 1 <= levels <= len(TAPS):
    raise ValueError(
      f"the levels of VGG-16 must be from 1 to {len(TAPS)}; got {levels}"
    )
  return TAPS[levels - 1]


def _check_images(shape: tuple[int, ...], smallest: int) -> None:
  if len(shape) != 4 or shape[-1] not in (1, 3) or min(shape[1:3]) < smallest:
    raise ValueError(
      f"VGG-16 with these levels takes images [B, H, W, 1 or 3] of at least"
      f" {smallest} pixels a side; got {list(shape)}"
    )


def _conv(p: PyTree, x: jax.Array) -> jax.Array:
  """3x3, stride 1, padding 1, with bias."""
  x = lax.conv_general_dilated(
    x,
    p["kernel"].astype(x.dtype),
    (1, 1),
    "SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )
  return x + jnp.expand_dims(p["bias"], (0, 1, 2)).astype(x.dtype)


def _pool(x: jax.Array) -> jax.Array:
  """2x2 maximum, stride 2; an odd last row or column is dropped."""
  batch, height, width, channels = x.shape
  # As a reshape: XLA's gradient of a window maximum is slow on CPU.
  x = x[:, : height // 2 * 2, : width // 2 * 2]
  x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return x.max((2, 4))
