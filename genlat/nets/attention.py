"""DRAW's read and write windows: a grid of Gaussian filters on an image.

Gregor et al. 2015 (arXiv:1502.04623), equations 19 to 29. Centres lie on
1-based pixel coordinates, so that zero parameters cover a square image from
its first pixel to its last.

Departures: the rows of a filterbank are a softmax, which is the exact
normalisation of equations 25 and 26, for windows far outside the image too;
log-parameters are clamped to [-8, 8]; with N = 1 the stride, which is then
unused, is that of the whole image.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

PARAMETERS = 5
_CLAMP = 8.0


class Window(NamedTuple):
  """Where a grid of filters lies, each `[B]`.

  Attributes:
    x: centre, pixels from 1 to W.
    y: centre, pixels from 1 to H.
    stride: distance of neighbouring filters, pixels.
    log_variance: of each filter, log pixels^2.
    log_intensity: log gamma.
  """

  x: jax.Array
  y: jax.Array
  stride: jax.Array
  log_variance: jax.Array
  log_intensity: jax.Array


def window(raw: jax.Array, height: int, width: int, n: int) -> Window:
  """The window of a network's output (equations 21 to 24).

  Args:
    raw: `[B, 5]`: g~x, g~y, log sigma^2, log delta~, log gamma.
    height: H, pixels.
    width: W, pixels.
    n: filters along an edge.
  """
  chex.assert_shape(raw, (None, PARAMETERS))
  raw = raw.astype(jnp.promote_types(raw.dtype, jnp.float32))
  x, y = raw[:, 0], raw[:, 1]
  rest = jnp.clip(raw[:, 2:], -_CLAMP, _CLAMP)
  largest = (max(height, width) - 1) / max(n - 1, 1)
  return Window(
    x=0.5 * (width + 1) * (x + 1.0),
    y=0.5 * (height + 1) * (y + 1.0),
    stride=largest * jnp.exp(rest[:, 1]),
    log_variance=rest[:, 0],
    log_intensity=rest[:, 2],
  )


def filterbank(
  centre: jax.Array,
  stride: jax.Array,
  log_variance: jax.Array,
  n: int,
  size: int,
) -> jax.Array:
  """Filters `[B, n, size]` along one axis; each row sums to 1.

  Equations 19, 20, 25 and 26.

  Args:
    centre: of the grid, pixels, `[B]`.
    stride: pixels, `[B]`.
    log_variance: `[B]`.
    n: number of filters.
    size: pixels of the axis.
  """
  offset = jnp.arange(1, n + 1) - n / 2.0 - 0.5
  mean = centre[:, None] + offset[None] * stride[:, None]
  pixel = jnp.arange(1, size + 1, dtype=mean.dtype)
  square = jnp.square(pixel[None, None] - mean[:, :, None])
  return jax.nn.softmax(
    -0.5 * square * jnp.exp(-log_variance)[:, None, None], axis=-1
  )


def banks(
  place: Window, height: int, width: int, n: int
) -> tuple[jax.Array, jax.Array]:
  """Filterbanks of both axes, `[B, n, H]` and `[B, n, W]`."""
  shared = place.stride, place.log_variance, n
  return (
    filterbank(place.y, *shared, height),
    filterbank(place.x, *shared, width),
  )


def read(image: jax.Array, place: Window, n: int) -> jax.Array:
  """Reads gamma F_Y x F_X^T (equation 27), `[B, n, n, C]`.

  Args:
    image: `[B, H, W, C]`.
    place: the window.
    n: filters along an edge.
  """
  chex.assert_rank(image, 4)
  rows, columns = banks(place, image.shape[1], image.shape[2], n)
  patch = jnp.einsum("bih,bhwc,bjw->bijc", rows, image, columns)
  return jnp.exp(place.log_intensity)[:, None, None, None] * patch


def write(
  patch: jax.Array, place: Window, height: int, width: int
) -> jax.Array:
  """Writes F_Y^T w F_X / gamma (equation 29), `[B, H, W, C]`.

  Args:
    patch: w, `[B, n, n, C]`.
    place: the window.
    height: H, pixels.
    width: W, pixels.
  """
  chex.assert_rank(patch, 4)
  rows, columns = banks(place, height, width, patch.shape[1])
  image = jnp.einsum("bih,bijc,bjw->bhwc", rows, patch, columns)
  return jnp.exp(-place.log_intensity)[:, None, None, None] * image
