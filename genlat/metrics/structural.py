"""Multi-scale structural similarity, and the diversity it measures.

Wang, Simoncelli, Bovik 2003, in the form of TensorFlow's models repository
that Karras et al. 2018 (PGGAN) and IntroVAE score diversity with: the mean
over pairs of samples; low is diverse. Windows shrink with small images, and
contrast and similarity are clipped at 0 before they are raised to a power.
"""

import functools
from collections.abc import Callable, Iterable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genlat import sharding

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # sum to 1.0001
MULTIPLE = 2 ** (len(WEIGHTS) - 1)  # sides that can be halved that often

_WINDOW, _SIGMA = 11, 1.5
_PEAK, _K1, _K2 = 255.0, 0.01, 0.03


def ms_ssim(x: jax.Array, y: jax.Array) -> jax.Array:
  """Multi-scale structural similarity of pairs, `[B]`, in [0, 1].

  Args:
    x: images `[B, H, W, C]` in [0, 255]; sides are multiples of 16.
    y: like `x`.

  Raises:
    ValueError: for other sides.
  """
  chex.assert_rank([x, y], 4)
  chex.assert_equal_shape([x, y])
  if any(side % MULTIPLE for side in x.shape[1:3]):
    raise ValueError(
      f"expected sides that are multiples of {MULTIPLE}; got"
      f" {x.shape[1]} x {x.shape[2]}: resize first"
    )
  x, y = x.astype(jnp.float32), y.astype(jnp.float32)
  value = jnp.ones(x.shape[0])
  for scale, weight in enumerate(WEIGHTS):
    similarity, contrast = _similarity(x, y)
    last = scale == len(WEIGHTS) - 1
    kept = jnp.maximum(similarity if last else contrast, 0.0)
    value *= kept**weight
    x, y = _halve(x), _halve(y)
  return value


def mean_of_pairs(
  batches: Iterable[np.ndarray], pairs: int, side: int = 0
) -> tuple[float, int]:
  """The mean similarity of images 2i and 2i + 1 of a stream.

  Args:
    batches: uint8 images `[n, H, W, C]`, an even number each but the last.
    pairs: how many are measured at most.
    side: pixels to which images are resized first; 0 = as they are, and
      the next multiple of 16 where they are none.

  Returns:
    The mean and the number of pairs.

  Raises:
    ValueError: for a stream without a pair.
  """
  total, count = 0.0, 0
  for batch in batches:
    taken = min(len(batch) // 2, pairs - count)
    if not taken:
      continue
    even, odd = (
      batch[start : 2 * taken : 2].astype(np.float32) for start in (0, 1)
    )
    size = resized(even.shape[1:3], side)
    values = _of_size(size)(jnp.asarray(even), jnp.asarray(odd))
    total += float(np.asarray(values, np.float64).sum())
    count += taken
    if count == pairs:
      break
  if not count:
    raise ValueError("expected at least one pair of images; got none")
  return total / count, count


def resized(sides: tuple[int, ...], side: int = 0) -> tuple[int, int]:
  """The size at which images of these sides are measured."""
  wanted = (side, side) if side else sides
  height, width = (-(-s // MULTIPLE) * MULTIPLE for s in wanted)
  return height, width


@functools.cache
def _of_size(size: tuple[int, int]) -> Callable[..., jax.Array]:
  """`ms_ssim` of images that are first brought to a size, compiled."""

  def fit(z: jax.Array) -> jax.Array:
    shape = (z.shape[0], *size, z.shape[-1])
    return z if z.shape == shape else jax.image.resize(z, shape, "linear")

  return sharding.compile(lambda x, y: ms_ssim(fit(x), fit(y)))


def _similarity(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Structural similarity and its contrast term, `[B]`, over all pixels."""
  size = min(_WINDOW, *x.shape[1:3])
  window = _gaussian(size, _SIGMA * size / _WINDOW)
  blur = lambda z: _filter(z, window)
  # Second moments about mid-grey: float32 loses less of their differences.
  middle = 0.5 * _PEAK
  u, v = x - middle, y - middle
  mean_u, mean_v = blur(u), blur(v)
  covariance = blur(u * v) - mean_u * mean_v
  variances = blur(u * u) + blur(v * v) - mean_u**2 - mean_v**2
  mean_x, mean_y = mean_u + middle, mean_v + middle
  c1, c2 = (_K1 * _PEAK) ** 2, (_K2 * _PEAK) ** 2
  contrast = (2.0 * covariance + c2) / (variances + c2)
  luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
  return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _gaussian(size: int, sigma: float) -> np.ndarray:
  """A window `[size]` that sums to one."""
  offset = np.arange(size) - (size - 1) / 2
  window = np.exp(-0.5 * np.square(offset / max(sigma, 1e-6)))
  return (window / window.sum()).astype(np.float32)


def _filter(x: jax.Array, window: np.ndarray) -> jax.Array:
  """The separable window over height and width, borders left out."""
  b, h, w, c = x.shape
  x = x.transpose(0, 3, 1, 2).reshape(b * c, 1, h, w)
  for kernel in (window[None, None, :, None], window[None, None, None, :]):
    x = lax.conv(x, jnp.asarray(kernel), (1, 1), "VALID")
  return x.reshape(b, c, *x.shape[2:]).transpose(0, 2, 3, 1)


def _halve(x: jax.Array) -> jax.Array:
  """Means of 2x2 pixels."""
  b, h, w, c = x.shape
  x = x[:, : h // 2 * 2, : w // 2 * 2]
  return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))
