"""Variational bounds: the terms, and objectives to minimise, `[B]`, nats.

Kingma & Welling 2014 (VAE), Higgins et al. 2017 (beta-VAE), Burda et al. 2016
(IWAE), and the VAE with a flow prior that Xiao, Yan, Amit 2019 compare
Generative Latent Flow with.

Departure: the latter's code drops the constants of the posterior entropy;
they stay here, so that an identity flow gives the VAE's KL in expectation.
"""

import math

import chex
import jax
import jax.numpy as jnp

from genlat import distributions


def kl_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL(q(z|x) || N(0, I)), `[B]` (Kingma & Welling 2014, eq. 10).

  Args:
    mean: of the posterior, `[B, d]`.
    log_variance: of the posterior, `[B, d]`.
  """
  chex.assert_rank([mean, log_variance], 2)
  return distributions.gaussian_kl(mean, log_variance)


def kl_of_steps(
  mean: jax.Array,
  log_sigma: jax.Array,
  prior_mean: jax.Array | None = None,
  prior_log_sigma: jax.Array | None = None,
) -> jax.Array:
  """KL(q(z_t|x, z_<t) || p(z_t|z_<t)) of every step, `[B, T]`.

  Gregor et al. 2015 (arXiv:1502.04623), equation 11 term by term, with d / 2
  in place of the printed 1 / 2 for a step; with a prior of its own, log(s_p /
  s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2 an element.

  Args:
    mean: `[B, T, ...]`.
    log_sigma: log of the standard deviation, like `mean`.
    prior_mean: like `mean`; None for N(0, I).
    prior_log_sigma: like `mean`; None for N(0, I).
  """
  chex.assert_equal_shape([mean, log_sigma])
  if prior_mean is not None and prior_log_sigma is not None:
    chex.assert_equal_shape([mean, prior_mean, prior_log_sigma])
    # In units of the prior, so that the same stable form serves.
    mean = (mean - prior_mean) * jnp.exp(-prior_log_sigma)
    log_sigma = log_sigma - prior_log_sigma
  elements = distributions.gaussian_kl_elements(mean, 2.0 * log_sigma)
  return elements.reshape(*mean.shape[:2], -1).sum(-1)


def posterior_entropy(log_variance: jax.Array) -> jax.Array:
  """Entropy of q(z|x), `[B]`: sum(lv) / 2 + d / 2 (1 + ln 2 pi).

  Args:
    log_variance: of the posterior, `[B, d]`.
  """
  chex.assert_rank(log_variance, 2)
  return distributions.gaussian_entropy(log_variance)


def negative_elbo(
  reconstruction: jax.Array, kl: jax.Array, beta: float
) -> jax.Array:
  """-E[log p(x|z)] + beta KL, `[B]` (Higgins et al. 2017, eq. 4).

  Args:
    reconstruction: negative log-likelihood or reconstruction loss, `[B]`.
    kl: of the posterior to the prior, `[B]`.
    beta: weight of the KL; 1 for the ELBO.
  """
  chex.assert_rank([reconstruction, kl], 1)
  chex.assert_equal_shape([reconstruction, kl])
  return reconstruction + beta * kl


def flow_prior_kl(nll: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL(q(z|x) || p_psi) of a VAE with a flow prior, `[B]`.

  -log p_psi(z) - H[q(z|x)], one sample z ~ q(z|x) (Xiao, Yan, Amit 2019).

  Args:
    nll: -log p_psi(z) of the flow (`losses.flow.flow_nll`), `[B]`.
    log_variance: of the posterior, `[B, d]`.
  """
  chex.assert_rank(nll, 1)
  chex.assert_equal_shape_prefix([nll, log_variance], 1)
  return nll - posterior_entropy(log_variance)


def iwae(log_weights: jax.Array) -> jax.Array:
  """Minus the importance-weighted bound, `[B]` (Burda et al. 2016, eq. 8).

  Its gradient is the samples' own gradients, weighted by the softmax of the
  log-weights. One sample gives minus the ELBO.

  Args:
    log_weights: log p(x, z_i) - log q(z_i|x), `[k, B]`, z_i reparameterised.
  """
  chex.assert_rank(log_weights, 2)
  bound = jax.nn.logsumexp(log_weights, axis=0)
  return math.log(log_weights.shape[0]) - bound
