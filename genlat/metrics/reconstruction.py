"""How close reconstructions are to their images."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray


def mean_squared_error(images: Array, reconstructions: Array) -> jax.Array:
  """Mean over pixels and channels of the squared error, `[B]`.

  Args:
    images: `[B, H, W, C]` in [0, 1].
    reconstructions: like `images`.
  """
  chex.assert_rank(images, 4)
  chex.assert_equal_shape([images, reconstructions])
  return jnp.square(images - reconstructions).mean((1, 2, 3))


def peak_signal_to_noise(images: Array, reconstructions: Array) -> jax.Array:
  """-10 log10 of the mean squared error, `[B]`, dB; infinite when equal.

  Args:
    images: `[B, H, W, C]` in [0, 1], so that the peak is 1.
    reconstructions: like `images`.
  """
  return -10.0 * jnp.log10(mean_squared_error(images, reconstructions))


def finite_ratio(error: Array, dimensions: int) -> np.ndarray:
  """Peak signal-to-noise ratio of a mean squared error, dB, always finite.

  An exact copy has none: one level in one pixel is the least error.

  Args:
    error: any shape, of images in [0, 1].
    dimensions: H * W * C.
  """
  least = 1.0 / (255.0**2 * dimensions)
  return -10.0 * np.log10(np.maximum(np.asarray(error, np.float64), least))
