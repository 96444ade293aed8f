"""Negative log-likelihood of codes under a normalising flow.

Xiao, Yan, Amit 2019 (Generative Latent Flow); Dinh et al. 2017, eq. 3. Whether
its gradient reaches the encoder is the method's choice, not this loss's.
"""

import chex
import jax

from genlat import distributions


def flow_nll(e: jax.Array, logdet: jax.Array) -> jax.Array:
  """||e||^2 / 2 + d / 2 ln 2 pi - log|det de/dz|, `[B]`, nats.

  Legally negative: it is a density's.

  Args:
    e: noise F(z), `[B, d]`.
    logdet: log|det dF/dz|, `[B]`.
  """
  chex.assert_rank([e, logdet], [2, 1])
  chex.assert_equal_shape_prefix([e, logdet], 1)
  return -distributions.standard_normal_log_prob(e) - logdet
