"""Monotone rational-quadratic spline with linear tails.

Durkan, Bekasov, Murray, Papamakarios 2019, "Neural Spline Flows", section
3.1 (eqs. 4-8). Inside [-bound, bound] the map is a spline through increasing
knots; outside it is the identity, which the derivative 1 at both ends joins
smoothly. All-zero parameters give the identity.
"""

import math

import chex
import jax
import jax.numpy as jnp

_Pair = tuple[jax.Array, jax.Array]

_FLOOR = 1e-3  # least width and height of a bin (share) and least derivative


def parameters_per_element(bins: int) -> int:
  """Number of spline parameters: widths, heights and inner derivatives."""
  return 3 * bins - 1


def transform(
  x: jax.Array,
  parameters: jax.Array,
  *,
  bins: int,
  bound: float,
  inverse: bool = False,
) -> tuple[jax.Array, jax.Array]:
  """Applies one spline per element.

  Args:
    x: `[B, d]`.
    parameters: unconstrained, `[B, d, 3 * bins - 1]`.
    bins: number of bins.
    bound: half the width of the square in which the spline lives.
    inverse: whether the inverse map is applied.

  Returns:
    The images `[B, d]` and the log-derivatives `[B, d]` of the map applied.
  """
  size = parameters_per_element(bins)
  chex.assert_shape(parameters, (*x.shape, size))
  widths, heights, slopes = jnp.split(parameters, [bins, 2 * bins], axis=-1)
  bin_x, bin_y = _knots(widths, bound), _knots(heights, bound)
  slopes = _slopes(slopes)
  inside = jnp.abs(x) < bound
  # Outside values are replaced before they enter, or their NaN gradients
  # would pass through the selection below.
  value = jnp.where(inside, x, 0.0)
  left = (bin_y if inverse else bin_x)[0]
  index = (value[..., None] >= left).sum(-1) - 1
  chosen = jax.nn.one_hot(index, bins, dtype=x.dtype)
  pick = lambda table: (table * chosen).sum(-1)
  corner = (pick(bin_x[0]), pick(bin_y[0]))
  box = (pick(bin_x[1]), pick(bin_y[1]))
  ends = (pick(slopes[..., :-1]), pick(slopes[..., 1:]))
  y, log_slope = (_inverse if inverse else _forward)(value, corner, box, ends)
  return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)


def _knots(raw: jax.Array, bound: float) -> tuple[jax.Array, jax.Array]:
  """Left ends and widths of bins that fill [-bound, bound], `[..., bins]`."""
  bins = raw.shape[-1]
  share = _FLOOR + (1.0 - _FLOOR * bins) * jax.nn.softmax(raw)
  right = 2.0 * bound * jnp.cumsum(share, -1)[..., :-1] - bound
  edge = jnp.full_like(raw[..., :1], bound)
  left = jnp.concatenate([-edge, right], -1)
  return left, jnp.concatenate([right, edge], -1) - left


def _slopes(raw: jax.Array) -> jax.Array:
  """Derivatives at all knots, `[..., bins + 1]`; 1 at both ends."""
  shift = math.log(math.expm1(1.0 - _FLOOR))
  edge = jnp.ones_like(raw[..., :1])
  inner = _FLOOR + jax.nn.softplus(raw + shift)
  return jnp.concatenate([edge, inner, edge], -1)


def _forward(x: jax.Array, corner: _Pair, box: _Pair, ends: _Pair) -> _Pair:
  """Eqs. 4 and 5."""
  slope = box[1] / box[0]
  xi = (x - corner[0]) / box[0]
  mixed = xi * (1.0 - xi)
  bottom = slope + (ends[1] + ends[0] - 2.0 * slope) * mixed
  y = corner[1] + box[1] * (slope * xi**2 + ends[0] * mixed) / bottom
  return y, _log_slope(xi, slope, ends)


def _inverse(y: jax.Array, corner: _Pair, box: _Pair, ends: _Pair) -> _Pair:
  """Eqs. 6-8: the root of a quadratic that is stable everywhere."""
  slope = box[1] / box[0]
  rise = y - corner[1]
  bend = rise * (ends[1] + ends[0] - 2.0 * slope)
  a = box[1] * (slope - ends[0]) + bend
  b = box[1] * ends[0] - bend
  c = -slope * rise
  root = jnp.sqrt(jnp.maximum(b**2 - 4.0 * a * c, 1e-30))
  xi = 2.0 * c / (-b - root)
  return corner[0] + xi * box[0], -_log_slope(xi, slope, ends)


def _log_slope(xi: jax.Array, slope: jax.Array, ends: _Pair) -> jax.Array:
  """Log-derivative of the forward map at the share xi of its bin."""
  mixed = xi * (1.0 - xi)
  bottom = slope + (ends[1] + ends[0] - 2.0 * slope) * mixed
  top = ends[1] * xi**2 + 2.0 * slope * mixed + ends[0] * (1.0 - xi) ** 2
  return 2.0 * jnp.log(slope) + jnp.log(top) - 2.0 * jnp.log(bottom)
