"""A full-covariance Gaussian over codes, by maximum likelihood."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genlat import distributions
from genlat.priors.prior import PyTree, check_codes

JITTER = 1e-6  # added to variances, so that dead dimensions stay proper


@dataclasses.dataclass(frozen=True)
class Gaussian:
  """N(mean, C) with C the codes' covariance."""

  def fit(self, codes: np.ndarray, seed: int) -> PyTree:
    """`mean` `[d]` and `cholesky` `[d, d]`, lower, of the covariance."""
    del seed
    codes = check_codes(codes, 2)
    centred = codes - codes.mean(0)
    cov = centred.T @ centred / len(codes) + JITTER * np.eye(codes.shape[1])
    return {
      "mean": jnp.asarray(codes.mean(0), jnp.float32),
      "cholesky": jnp.asarray(np.linalg.cholesky(cov), jnp.float32),
    }

  def sample(self, params: PyTree, rng: jax.Array, n: int) -> jax.Array:
    """Draws `[n, d]`."""
    noise = jax.random.normal(rng, (n, params["mean"].shape[0]))
    return params["mean"][None] + noise @ params["cholesky"].T

  def log_prob(self, params: PyTree, codes: jax.Array) -> jax.Array:
    """Log-density, `[B]` nats."""
    return distributions.mixture_log_prob(
      codes,
      jnp.zeros((1,)),
      params["mean"][None],
      params["cholesky"][None],
    )
