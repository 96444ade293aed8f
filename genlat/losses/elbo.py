"""Variational bounds: the terms, and objectives to minimise, `[B]`, nats.

Kingma & Welling 2014 (VAE), Higgins et al. 2017 (beta-VAE), Burda et al. 2016
(IWAE), Rezende & Mohamed 2015 (flow posterior), and the VAE with a flow prior
that Xiao, Yan, Amit 2019 compare Generative Latent Flow with.

Departure: the latter's code drops the constants of the posterior entropy;
they stay here, so that an identity flow gives the VAE's KL in expectation.
"""

import math

import chex
import jax

from genlat import distributions


def kl_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL(q(z|x) || N(0, I)), `[B]` (Kingma & Welling 2014, eq. 10).

  Args:
    mean: of the posterior, `[B, d]`.
    log_variance: of the posterior, `[B, d]`.
  """
  chex.assert_rank([mean, log_variance], 2)
  return distributions.gaussian_kl(mean, log_variance)


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


def flow_prior(
  reconstruction: jax.Array,
  nll: jax.Array,
  log_variance: jax.Array,
  beta: float,
) -> jax.Array:
  """Objective of a VAE with a flow prior, `[B]`.

  beta R(x, G(z)) - log p_psi(z) - H[q(z|x)], one sample z ~ q(z|x) (Xiao, Yan,
  Amit 2019; their code's default is beta = 400 on summed squared errors).
  With a Gaussian decoder of variance s^2, beta = 1 / (2 s^2).

  Args:
    reconstruction: of the sample, `[B]`.
    nll: -log p_psi(z) of the flow (`losses.flow.flow_nll`), `[B]`.
    log_variance: of the posterior, `[B, d]`.
    beta: weight of the reconstruction.
  """
  chex.assert_rank([reconstruction, nll], 1)
  chex.assert_equal_shape([reconstruction, nll])
  chex.assert_equal_shape_prefix([nll, log_variance], 1)
  return beta * reconstruction + nll - posterior_entropy(log_variance)


def flow_posterior(
  reconstruction: jax.Array,
  log_posterior: jax.Array,
  logdet: jax.Array,
  z: jax.Array,
  beta: float,
) -> jax.Array:
  """Objective of a VAE whose posterior is a flow, `[B]`.

  beta R(x, G(z_K)) + log q(z_0|x) - log|det dz_K/dz_0| - log N(z_K; 0, I),
  one sample (Rezende & Mohamed 2015, eq. 15).

  Args:
    reconstruction: from z_K, `[B]`.
    log_posterior: log q(z_0|x) of the Gaussian start, `[B]`.
    logdet: of the flow from z_0 to z_K, `[B]`.
    z: z_K, `[B, d]`.
    beta: weight of the reconstruction.
  """
  chex.assert_rank([reconstruction, log_posterior, logdet, z], [1, 1, 1, 2])
  chex.assert_equal_shape([reconstruction, log_posterior, logdet])
  chex.assert_equal_shape_prefix([logdet, z], 1)
  kl = log_posterior - logdet - distributions.standard_normal_log_prob(z)
  return beta * reconstruction + kl


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
