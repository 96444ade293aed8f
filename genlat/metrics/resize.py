"""The two ways of bringing images to the size of a feature network.

`tf1`: bilinear as in TensorFlow 1 (`align_corners=False`): output pixel i reads
input position i * in / out, without half-pixel centres and without
anti-aliasing; the last row and column repeat. It is what Heusel et al. 2017
and the papers up to 2020 measured with.

`clean`: Pillow's bicubic filter with anti-aliasing, each channel in floating
point, cut to [0, 255] and not rounded again (Parmar et al. 2022, section 3).

They agree in nothing but purpose: scores across them do not compare.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from PIL import Image

RESIZES = ("tf1", "clean")


@functools.lru_cache
def tf1_matrix(source: int, target: int) -> np.ndarray:
  """Weights `[target, source]` of the legacy bilinear filter, one axis."""
  # float32 throughout, as the original computes positions.
  position = np.arange(target, dtype=np.float32) * np.float32(source / target)
  lower = position.astype(np.int64)
  upper = np.minimum(lower + 1, source - 1)
  fraction = position - lower.astype(np.float32)
  rows = np.arange(target)
  matrix = np.zeros((target, source), np.float32)
  np.add.at(matrix, (rows, lower), 1 - fraction)
  np.add.at(matrix, (rows, upper), fraction)
  return matrix


def tf1(images: jax.Array, size: int) -> jax.Array:
  """Legacy bilinear filter, on the device.

  Args:
    images: `[B, H, W, C]`, pixels in [0, 255].
    size: side of the result, pixels.

  Returns:
    `[B, size, size, C]` float32 in [0, 255].
  """
  _, height, width, _ = images.shape
  return jnp.einsum(
    "ih,jw,bhwc->bijc",
    tf1_matrix(height, size),
    tf1_matrix(width, size),
    images.astype(jnp.float32),
    precision=lax.Precision.HIGHEST,
  )


def clean(images: np.ndarray, size: int) -> np.ndarray:
  """Anti-aliased bicubic filter, on the host, in threads.

  Args:
    images: uint8 `[B, H, W, C]`.
    size: side of the result, pixels.

  Returns:
    `[B, size, size, C]` float32 in [0, 255].
  """
  out = np.empty((len(images), size, size, images.shape[-1]), np.float32)

  def one(index: int) -> None:
    for channel in range(images.shape[-1]):
      plane = Image.fromarray(images[index, :, :, channel].astype(np.float32))
      plane = plane.resize((size, size), Image.Resampling.BICUBIC)
      np.clip(np.asarray(plane), 0, 255, out=out[index, :, :, channel])

  with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(one, range(len(images))))
  return out
