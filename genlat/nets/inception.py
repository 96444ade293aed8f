"""The InceptionV3 of the Fréchet distance, as a pure function.

Heusel et al. 2017 (https://arxiv.org/abs/1706.08500) measure with the network
of TensorFlow's 2015-12-05 release, which is not the one of later libraries:

- batch normalisation has no gamma, and an epsilon of 1e-3;
- the 3x3 average pools do not count the padding;
- the last block pools with a maximum instead of an average;
- 1008 classes, of which the pooled features need none.

Normalisation is folded into the convolutions when the weights are read, so
that the network is convolutions, biases and rectifiers only. Three rewritings,
equal up to rounding, make it fast on XLA's CPU backend: a 1x1 convolution is a
matrix product, a 3x3 one with stride 2 a product of gathered patches, and an
unpadded one with stride 1 the padded one without its border.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genlat.nets import inception_names

PyTree = Any

SIZE = 299
TAPS = (64, 192, 768, 2048)
EPSILON = 1e-3

_HIGHEST = lax.Precision.HIGHEST


def load_params(arrays: Mapping[str, np.ndarray]) -> PyTree:
  """Folds the normalisation of every convolution into its kernel and bias.

  Args:
    arrays: `<name>:weight` (OIHW), `:beta`, `:mean`, `:var` and, if there is
      one, `:gamma` per convolution, as `genlat.weights.load` reads them, or
      the same under PyTorch's names.

  Returns:
    `{block: {name: {'kernel': HWIO, 'bias': [O]}}}` in float32; the
    convolutions before the first block are the block ''.

  Raises:
    ValueError: if an array of a convolution is missing.
  """
  arrays = inception_names.renamed(arrays)
  params: dict[str, dict[str, Any]] = {}
  for name in inception_names.CONVOLUTIONS.values():
    block, _, rest = name.partition("/") if "/" in name else ("", "", name)
    params.setdefault(block, {})[rest] = _fold(arrays, name)
  return params


def features(params: PyTree, images: jax.Array, tap: int = 2048) -> jax.Array:
  """Spatial means of the activations at one depth of the network.

  Args:
    params: the result of `load_params`.
    images: `[B, 299, 299, 3]`, `(x - 128) / 128` of pixels in [0, 255].
    tap: 64 (first maximum pool), 192 (second), 768 (before the last
      reduction) or 2048 (`pool_3`, the one of the Fréchet distance).

  Returns:
    `[B, tap]` float32.

  Raises:
    ValueError: if the tap is none of the four.
  """
  if tap not in TAPS:
    raise ValueError(f"expected a tap of {TAPS}; got {tap}")
  stages = itertools.islice(_STAGES, TAPS.index(tap) + 1)
  x = images.astype(jnp.float32)
  for stage in stages:
    x = stage(params, x)
  return x.mean((1, 2))


def _fold(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, jax.Array]:
  try:
    kernel, beta, mean, var = (
      arrays[f"{name}:{part}"].astype(np.float64)
      for part in ("weight", "beta", "mean", "var")
    )
  except KeyError as error:
    raise ValueError(
      f"expected the 94 convolutions of the FID's InceptionV3; {error.args[0]}"
      f" is not among the {len(arrays)} arrays of the file"
    ) from None
  scale = arrays.get(f"{name}:gamma", 1.0) / np.sqrt(var + EPSILON)
  return {
    "kernel": jnp.asarray(kernel.transpose(2, 3, 1, 0) * scale, jnp.float32),
    "bias": jnp.asarray(beta - mean * scale, jnp.float32),
  }


def _conv(p: PyTree, x: jax.Array) -> jax.Array:
  """Stride 1, 'SAME' padding, bias, rectifier."""
  kernel = p["kernel"]
  if kernel.shape[:2] == (1, 1):
    x = jnp.matmul(x, kernel[0, 0], precision=_HIGHEST)
  else:
    x = lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      "SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      precision=_HIGHEST,
    )
  return jax.nn.relu(x + jnp.expand_dims(p["bias"], (0, 1, 2)))


def _unpadded(p: PyTree, x: jax.Array) -> jax.Array:
  """3x3, stride 1, no padding: the border of the padded result is cut."""
  return _conv(p, x)[:, 1:-1, 1:-1]


def _shifts(x: jax.Array, axis: int, stride: int) -> list[jax.Array]:
  """The three slices of a window of 3 that slides along one axis."""
  last = x.shape[axis] - 2
  return [
    lax.slice_in_dim(x, start, start + last, stride, axis) for start in range(3)
  ]


def _down(p: PyTree, x: jax.Array) -> jax.Array:
  """3x3, stride 2, no padding, as one product of gathered patches."""
  patches = [w for row in _shifts(x, 1, 2) for w in _shifts(row, 2, 2)]
  kernel = p["kernel"]
  x = jnp.matmul(
    jnp.concatenate(patches, -1),
    kernel.reshape(-1, kernel.shape[-1]),
    precision=_HIGHEST,
  )
  return jax.nn.relu(x + jnp.expand_dims(p["bias"], (0, 1, 2)))


def _max_pool(x: jax.Array, stride: int) -> jax.Array:
  """3x3 maximum without padding."""
  for axis in (1, 2):
    a, b, c = _shifts(x, axis, stride)
    x = jnp.maximum(jnp.maximum(a, b), c)
  return x


def _padded_max_pool(x: jax.Array) -> jax.Array:
  """3x3 maximum at stride 1; activations are rectified, so 0 pads."""
  return _max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 1)


def _mean_pool(x: jax.Array) -> jax.Array:
  """3x3 mean at stride 1 over the pixels that lie inside the image."""
  for axis in (1, 2):
    size = x.shape[axis]
    count = np.full(size, 3.0, np.float32)
    count[[0, -1]] = min(2, size)
    padding = [(0, 0)] * 4
    padding[axis] = (1, 1)
    a, b, c = _shifts(jnp.pad(x, padding), axis, 1)
    count = np.expand_dims(count, [i for i in range(4) if i != axis])
    x = (a + b + c) / count
  return x


def _tower(p: PyTree, x: jax.Array, *names: str) -> jax.Array:
  for name in names:
    x = _conv(p[name], x)
  return x


def _block_35(p: PyTree, x: jax.Array) -> jax.Array:
  branches = (
    _tower(p, x, "conv"),
    _tower(p, x, "tower/conv", "tower/conv_1"),
    _tower(p, x, "tower_1/conv", "tower_1/conv_1", "tower_1/conv_2"),
    _tower(p, _mean_pool(x), "tower_2/conv"),
  )
  return jnp.concatenate(branches, -1)


def _reduce_35(p: PyTree, x: jax.Array) -> jax.Array:
  tower = _tower(p, x, "tower/conv", "tower/conv_1")
  branches = (
    _down(p["conv"], x),
    _down(p["tower/conv_2"], tower),
    _max_pool(x, 2),
  )
  return jnp.concatenate(branches, -1)


def _block_17(p: PyTree, x: jax.Array) -> jax.Array:
  long = ["tower_1/conv"] + [f"tower_1/conv_{i}" for i in range(1, 5)]
  branches = (
    _tower(p, x, "conv"),
    _tower(p, x, "tower/conv", "tower/conv_1", "tower/conv_2"),
    _tower(p, x, *long),
    _tower(p, _mean_pool(x), "tower_2/conv"),
  )
  return jnp.concatenate(branches, -1)


def _reduce_17(p: PyTree, x: jax.Array) -> jax.Array:
  tower = _tower(p, x, "tower_1/conv", "tower_1/conv_1", "tower_1/conv_2")
  branches = (
    _down(p["tower/conv_1"], _tower(p, x, "tower/conv")),
    _down(p["tower_1/conv_3"], tower),
    _max_pool(x, 2),
  )
  return jnp.concatenate(branches, -1)


def _block_8(p: PyTree, x: jax.Array, pooled: jax.Array) -> jax.Array:
  tower = _tower(p, x, "tower_conv")
  tower_1 = _tower(p, x, "tower_1_conv", "tower_1_conv_1")
  branches = (
    _tower(p, x, "conv"),
    _tower(p, tower, "tower_mixed_conv"),
    _tower(p, tower, "tower_mixed_conv_1"),
    _tower(p, tower_1, "tower_1_mixed_conv"),
    _tower(p, tower_1, "tower_1_mixed_conv_1"),
    _tower(p, pooled, "tower_2_conv"),
  )
  return jnp.concatenate(branches, -1)


def _to_64(params: PyTree, x: jax.Array) -> jax.Array:
  p = params[""]
  x = _unpadded(p["conv_1"], _down(p["conv"], x))
  return _max_pool(_conv(p["conv_2"], x), 2)


def _to_192(params: PyTree, x: jax.Array) -> jax.Array:
  p = params[""]
  x = _unpadded(p["conv_4"], _conv(p["conv_3"], x))
  return _max_pool(x, 2)


def _to_768(params: PyTree, x: jax.Array) -> jax.Array:
  for name in ("mixed", "mixed_1", "mixed_2"):
    x = _block_35(params[name], x)
  x = _reduce_35(params["mixed_3"], x)
  for name in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
    x = _block_17(params[name], x)
  return x


def _to_2048(params: PyTree, x: jax.Array) -> jax.Array:
  x = _reduce_17(params["mixed_8"], x)
  x = _block_8(params["mixed_9"], x, _mean_pool(x))
  return _block_8(params["mixed_10"], x, _padded_max_pool(x))


_STAGES = (_to_64, _to_192, _to_768, _to_2048)
