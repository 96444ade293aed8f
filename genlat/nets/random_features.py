"""A tiny convolutional network of fixed random weights.

It stands in for the InceptionV3 of the Fréchet distance in tests and smoke
runs, where no pretrained weights are at hand: the same interface, and scores
that order coarse differences but compare with no paper's.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PyTree = Any

SIZE = 32
TAPS = (16, 32, 64)


def init_params(seed: int = 0) -> PyTree:
  """Three 3x3 kernels, HWIO, of variance 2 / fan-in (He et al. 2015)."""
  rng = np.random.default_rng(seed)
  shapes = [(3, 3, *pair) for pair in itertools.pairwise((3, *TAPS))]
  return [
    jnp.asarray(
      rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:3])), jnp.float32
    )
    for shape in shapes
  ]


def features(params: PyTree, images: jax.Array, tap: int = 64) -> jax.Array:
  """Spatial means of the activations at one depth of the network.

  Args:
    params: the result of `init_params`.
    images: `[B, 32, 32, 3]`, `(x - 128) / 128` of pixels in [0, 255].
    tap: 16, 32 or 64: the number of features.

  Returns:
    `[B, tap]` float32.

  Raises:
    ValueError: if the tap is none of the three.
  """
  if tap not in TAPS:
    raise ValueError(f"expected a tap of {TAPS}; got {tap}")
  x = images.astype(jnp.float32)
  for kernel in params[: TAPS.index(tap) + 1]:
    x = lax.conv_general_dilated(
      x,
      kernel,
      (2, 2),
      "SAME",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      precision=lax.Precision.HIGHEST,
    )
    x = jax.nn.relu(x)
  return x.mean((1, 2))
