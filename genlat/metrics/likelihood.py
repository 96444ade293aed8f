"""The arithmetic of bounds on the likelihood, and of what codes carry.

A log-weight is log p(x, z) - log q(z | x) of one draw z of the posterior, in
nats. The mean of one is the evidence lower bound; the bound of k draws rises
with k towards log p(x) (Burda, Grosse, Salakhutdinov 2016).
"""

import math
from typing import TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from genlat import distributions

Array = jax.Array | np.ndarray
Number = TypeVar("Number", float, jax.Array, np.ndarray)


def importance_bound(log_weights: Array) -> jax.Array:
  """Importance-weighted bound, Burda et al. 2016, eq. 8, nats.

  Args:
    log_weights: `[k, B]`, of k independent draws per example.

  Returns:
    `[B]`; for k = 1 the evidence lower bound of that draw.
  """
  chex.assert_rank(log_weights, 2)
  draws = log_weights.shape[0]
  return jax.nn.logsumexp(jnp.asarray(log_weights), axis=0) - math.log(draws)


def bits_per_dimension(
  nats: Number, dimensions: int, *, dequantised: bool = False
) -> Number:
  """A negative log-likelihood per dimension of the data, in bits.

  Args:
    nats: -log p(x) or a bound on it, any shape.
    dimensions: H * W * C.
    dequantised: whether p is a density over pixels in [0, 1] of images that
      had uniform noise of one grey level (1/256) added: 8 bits more make it
      one of the grey levels.
  """
  bits = nats / (dimensions * math.log(2.0))
  return bits + 8.0 if dequantised else bits


def active_units(means: np.ndarray, threshold: float = 0.01) -> int:
  """Number of code dimensions that depend on the image.

  Burda et al. 2016, section 5.2: those where the variance over x of the
  posterior mean E_q[z | x] is above the threshold.

  Args:
    means: `[N, d]`, one per image.
    threshold: of the variance.
  """
  if means.ndim != 2:
    raise ValueError(f"expected posterior means [N, d]; got {means.shape}")
  return int(np.sum(means.astype(np.float64).var(0) > threshold))


def kl_per_dimension(mean: Array, log_variance: Array) -> jax.Array:
  """Mean over images of KL(q(z_j | x) || N(0, 1)), `[d]`, nats.

  Args:
    mean: `[N, d]` of the posteriors.
    log_variance: like `mean`.
  """
  chex.assert_rank(mean, 2)
  kl = distributions.gaussian_kl_elements(
    jnp.asarray(mean), jnp.asarray(log_variance)
  )
  return kl.mean(0)
