"""Probability distributions as pure functions: sample, log-probability, KL.

Conventions: parameters cross as means, log-variances, log-scales and logits;
every density carries all its constants, so that bounds in nats compare; a
`*_log_prob` or `*_kl` sums over all axes but the first, `[B, ...]` to `[B]`.
A scale that all elements share may be a scalar.
"""

import math

import chex
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

LOG_2PI = math.log(2.0 * math.pi)
_HALF_BIN = 1.0 / 510.0  # half the distance of two of 256 grey levels


def gaussian_sample(
  rng: jax.Array, mean: jax.Array, log_variance: jax.Array
) -> jax.Array:
  """A reparameterised draw (Kingma & Welling 2014, section 2.4).

  Args:
    rng: key, used once.
    mean: `[B, ...]`.
    log_variance: like `mean`, or a scalar.

  Returns:
    A sample like `mean`.
  """
  _check_scale(mean, log_variance)
  noise = jax.random.normal(rng, mean.shape, mean.dtype)
  return mean + jnp.exp(0.5 * log_variance) * noise


def gaussian_log_prob(
  x: jax.Array, mean: jax.Array, log_variance: jax.Array
) -> jax.Array:
  """Log-density of a diagonal Gaussian, `[B]`, nats.

  Args:
    x: `[B, ...]`.
    mean: like `x`.
    log_variance: like `x`, or a scalar.
  """
  chex.assert_equal_shape([x, mean])
  _check_scale(x, log_variance)
  square = jnp.square(x - mean) * jnp.exp(-log_variance)
  return -0.5 * _sum(square + log_variance + LOG_2PI)


def standard_normal_log_prob(x: jax.Array) -> jax.Array:
  """Log-density of N(0, I) at `[B, ...]`: `[B]`, nats."""
  return -0.5 * _sum(jnp.square(x) + LOG_2PI)


def gaussian_entropy(log_variance: jax.Array) -> jax.Array:
  """Entropy of a diagonal Gaussian, `[B, ...]` to `[B]`, nats."""
  return 0.5 * _sum(log_variance + LOG_2PI + 1.0)


def gaussian_kl_elements(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL(N(mean, variance) || N(0, 1)) of every element, like `mean`, nats.

  Kingma & Welling 2014, appendix B.
  """
  chex.assert_equal_shape([mean, log_variance])
  # expm1, not exp - 1, keeps the small values near the prior.
  return 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance)


def gaussian_kl(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL of a diagonal Gaussian to N(0, I), `[B, ...]` to `[B]`, nats."""
  return _sum(gaussian_kl_elements(mean, log_variance))


def bernoulli_log_prob(x: jax.Array, logits: jax.Array) -> jax.Array:
  """Log-probability of binary images, `[B]`, nats.

  Not a density where x is not in {0, 1}; then it is minus a cross-entropy.

  Args:
    x: `[B, ...]` in [0, 1].
    logits: like `x`.
  """
  chex.assert_equal_shape([x, logits])
  return _sum(x * logits - jax.nn.softplus(logits))


def logistic_log_prob(
  x: jax.Array, mean: jax.Array, log_scale: jax.Array
) -> jax.Array:
  """Log-probability of 8-bit grey levels under a discretised logistic, `[B]`.

  Kingma et al. 2016 (IAF), with the mass beyond the outermost levels given
  to them, so that the 256 probabilities sum to 1. Nats.

  Args:
    x: `[B, ...]`, levels in {0, ..., 255} / 255.
    mean: like `x`, in the units of `x`.
    log_scale: like `x`, or a scalar.
  """
  chex.assert_equal_shape([x, mean])
  _check_scale(x, log_scale)
  rate = jnp.exp(-log_scale)
  upper = (x - mean + _HALF_BIN) * rate
  lower = (x - mean - _HALF_BIN) * rate
  # log(sigmoid(upper) - sigmoid(lower)) without cancellation, finite in the
  # far tails: log sigmoid(u) + log sigmoid(-l) + log(1 - exp(l - u)).
  below = jax.nn.log_sigmoid(upper)
  above = jax.nn.log_sigmoid(-lower)
  inner = below + above + jnp.log(-jnp.expm1(-2.0 * _HALF_BIN * rate))
  black, white = x < _HALF_BIN, x > 1.0 - _HALF_BIN
  return _sum(jnp.where(black, below, jnp.where(white, above, inner)))


def categorical_sample(rng: jax.Array, logits: jax.Array) -> jax.Array:
  """Draws classes: logits `[B, K]` to `[B]` int32."""
  chex.assert_rank(logits, 2)
  return jax.random.categorical(rng, logits).astype(jnp.int32)


def categorical_log_prob(labels: jax.Array, logits: jax.Array) -> jax.Array:
  """Log-probability of classes, `[B]`, nats.

  Args:
    labels: `[B]` integers in [0, K).
    logits: `[B, K]`.
  """
  chex.assert_rank([labels, logits], [1, 2])
  chex.assert_equal_shape_prefix([labels, logits], 1)
  log_probs = jax.nn.log_softmax(logits)
  return jnp.take_along_axis(log_probs, labels[:, None], axis=-1)[:, 0]


def categorical_kl(logits: jax.Array) -> jax.Array:
  """KL to the uniform distribution, logits `[B, K]` to `[B]`, nats."""
  chex.assert_rank(logits, 2)
  log_probs = jax.nn.log_softmax(logits)
  negative_entropy = (jnp.exp(log_probs) * log_probs).sum(-1)
  return negative_entropy + math.log(logits.shape[-1])


def mixture_log_prob(
  x: jax.Array,
  log_weights: jax.Array,
  means: jax.Array,
  cholesky: jax.Array,
) -> jax.Array:
  """Log-density of a mixture of full-covariance Gaussians, `[B]`, nats.

  Args:
    x: `[B, d]`.
    log_weights: `[K]`, normalised.
    means: `[K, d]`.
    cholesky: `[K, d, d]`, lower factors of the covariances.
  """
  _check_mixture(log_weights, means, cholesky)
  chex.assert_shape(x, (None, means.shape[1]))

  def component(mean: jax.Array, factor: jax.Array) -> jax.Array:
    whitened = solve_triangular(factor, (x - mean[None]).T, lower=True).T
    volume = jnp.log(jnp.diagonal(factor)).sum()
    return standard_normal_log_prob(whitened) - volume

  parts = jax.vmap(component)(means, cholesky)
  return jax.nn.logsumexp(log_weights[:, None] + parts, axis=0)


def mixture_sample(
  rng: jax.Array,
  count: int,
  log_weights: jax.Array,
  means: jax.Array,
  cholesky: jax.Array,
) -> jax.Array:
  """Draws `[count, d]` from a mixture (see `mixture_log_prob`)."""
  _check_mixture(log_weights, means, cholesky)
  choice, noise = jax.random.split(rng)
  component = jax.random.categorical(choice, log_weights, shape=(count,))
  white = jax.random.normal(noise, (count, means.shape[1]), means.dtype)
  return means[component] + jnp.einsum("bij,bj->bi", cholesky[component], white)


def _sum(x: jax.Array) -> jax.Array:
  """Sums over all axes but the first."""
  return x.sum(tuple(range(1, x.ndim)))


def _check_scale(x: jax.Array, scale: jax.Array) -> None:
  """A scale is one number, or one per element."""
  if jnp.ndim(scale):
    chex.assert_equal_shape([x, scale])


def _check_mixture(
  log_weights: jax.Array, means: jax.Array, cholesky: jax.Array
) -> None:
  chex.assert_rank([log_weights, means, cholesky], [1, 2, 3])
  components, size = means.shape
  chex.assert_shape(log_weights, (components,))
  chex.assert_shape(cholesky, (components, size, size))


def ring_sample(
  rng: jax.Array, n: int, d: int, component: jax.Array | None = None
) -> jax.Array:
  """Draws of a mixture of 10 flat Gaussians on a ring, `[n, d]`, d even.

  Makhzani et al. 2015 (arXiv:1511.05644), as reimplemented: in each pair of
  dimensions N(1.4, 0.5^2) along an axis and N(0, 0.1^2) across it, turned by
  2 pi k / 10 for component k, the same for all pairs.

  Args:
    rng: key, used once.
    n: number of draws.
    d: dimensions.
    component: k of each draw, int `[n]`; None for uniform ones.

  Raises:
    ValueError: for odd d.
  """
  if d % 2:
    raise ValueError(f"a ring lies in pairs of dimensions; got d = {d}")
  on_noise, on_component = jax.random.split(rng)
  if component is None:
    component = jax.random.randint(on_component, (n,), 0, 10)
  noise = jax.random.normal(on_noise, (n, d // 2, 2))
  along, across = 1.4 + 0.5 * noise[..., 0], 0.1 * noise[..., 1]
  angle = (2.0 * jnp.pi / 10.0) * component[:, None]
  x = along * jnp.cos(angle) - across * jnp.sin(angle)
  y = along * jnp.sin(angle) + across * jnp.cos(angle)
  return jnp.stack([x, y], -1).reshape(n, d)


def swiss_roll_sample(rng: jax.Array, n: int, d: int) -> jax.Array:
  """Draws of a Swiss roll in each pair of dimensions, `[n, d]`, d even.

  Makhzani et al. 2015: radius 3 sqrt(u) at angle 4 pi sqrt(u), u uniform.

  Raises:
    ValueError: for odd d.
  """
  if d % 2:
    raise ValueError(f"a Swiss roll lies in pairs of dimensions; got d = {d}")
  root = jnp.sqrt(jax.random.uniform(rng, (n, d // 2)))
  angle = 4.0 * jnp.pi * root
  x, y = 3.0 * root * jnp.cos(angle), 3.0 * root * jnp.sin(angle)
  return jnp.stack([x, y], -1).reshape(n, d)
