"""Reconstruction losses: `[B, H, W, C]` and a decoder's output to `[B]`.

All are sums over pixels and channels. The negative log-likelihoods carry all
constants (nats); `squared_error` and `absolute_error` are those of a Gaussian
and a Laplace distribution of fixed scale, up to scale and constant.
"""

import chex
import jax
import jax.numpy as jnp

from genlat import distributions


def squared_error(x: jax.Array, mean: jax.Array) -> jax.Array:
  """Sum of squared differences, `[B]` (the default of GLF's authors).

  Args:
    x: images `[B, ...]`.
    mean: reconstructions, like `x`.
  """
  chex.assert_equal_shape([x, mean])
  return jnp.square(x - mean).sum(tuple(range(1, x.ndim)))


def absolute_error(x: jax.Array, mean: jax.Array) -> jax.Array:
  """Sum of absolute differences, `[B]`.

  Args:
    x: images `[B, ...]`.
    mean: reconstructions, like `x`.
  """
  chex.assert_equal_shape([x, mean])
  return jnp.abs(x - mean).sum(tuple(range(1, x.ndim)))


def bernoulli_nll(x: jax.Array, logits: jax.Array) -> jax.Array:
  """Bernoulli negative log-likelihood, `[B]`, nats.

  Kingma & Welling 2014, eq. 11. Not a likelihood for grey levels between 0
  and 1 (there it is a cross-entropy): binarise for nats to report.

  Args:
    x: images `[B, ...]` in [0, 1].
    logits: like `x`.
  """
  return -distributions.bernoulli_log_prob(x, logits)


def gaussian_nll(
  x: jax.Array, mean: jax.Array, log_scale: jax.Array
) -> jax.Array:
  """Gaussian negative log-likelihood, `[B]`, nats.

  Dai & Wipf 2019 (two-stage VAE) with gamma = exp(log_scale), which may be
  learned; at the optimum gamma^2 is the mean squared error.

  Args:
    x: images `[B, ...]`.
    mean: like `x`.
    log_scale: log of the standard deviation; a scalar, or like `x`.
  """
  return -distributions.gaussian_log_prob(x, mean, 2.0 * log_scale)


def logistic_nll(
  x: jax.Array, mean: jax.Array, log_scale: jax.Array
) -> jax.Array:
  """Discretised-logistic negative log-likelihood of 8-bit images, `[B]`, nats.

  Kingma et al. 2016 (IAF); see `distributions.logistic_log_prob`.

  Args:
    x: images `[B, ...]`, levels in {0, ..., 255} / 255.
    mean: like `x`.
    log_scale: a scalar, or like `x`.
  """
  return -distributions.logistic_log_prob(x, mean, log_scale)


def feature_error(
  x: jax.Array, mean: jax.Array, reduction: str = "mean"
) -> jax.Array:
  """Squared error between features of images, `[B]` (Larsen et al. 2016).

  Args:
    x: features of the images, `[B, ...]`.
    mean: features of the reconstructions, like `x`.
    reduction: 'sum' over features (Wang et al. 2019, equation 6) or 'mean'.

  Raises:
    ValueError: for another reduction.
  """
  if reduction not in ("mean", "sum"):
    raise ValueError(f"reduction must be mean or sum; got {reduction!r}")
  error = squared_error(x, mean)
  return error if reduction == "sum" else error * (x.shape[0] / x.size)
