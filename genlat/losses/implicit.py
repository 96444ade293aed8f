"""Implicit maximum likelihood: draws of a model that leave no datum out."""

import chex
import jax
import jax.numpy as jnp


def nearest(data: jax.Array, draws: jax.Array) -> jax.Array:
  """Squared distance of each datum to the nearest of its draws, `[B]`.

  Li and Malik 2018 (arXiv:1809.09087), with draws of a condition each, as Li
  et al. 2020 (arXiv:2004.03590) have them: a mode without a draw costs, where
  an adversarial loss of single draws does not see it. The mean over
  dimensions. Gradients reach the nearest draw alone.

  Few draws are near nothing in many dimensions: for data of N(0, I) and 16
  draws of N(0, s^2 I) the best s is 1 in one dimension, about .5 in 10, and 0
  in 100. It is for data that differ in few directions.

  Args:
    data: `[B, d]`.
    draws: `[B, m, d]`.
  """
  chex.assert_rank([data, draws], [2, 3])
  chex.assert_shape(draws, (len(data), None, data.shape[1]))
  return jnp.square(draws - data[:, None]).mean(-1).min(1)
