"""Variational mutual information of a made image and what it was made from.

Chen et al. 2016 (InfoGAN, arXiv:1606.03657): with Q(s|x) any distribution,
I(s; x) >= H(s) + E[log Q(s|x)], so that minimising the cross-entropy of Q
raises a lower bound. All in nats. Of discrete s the ceiling of the bound is
H(s); of real s there is none, for H(s) is that of a density.
"""

import math

import chex
import jax
import jax.scipy.special as jsp

from genlat import distributions


def categorical(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-log Q(s|x) of discrete s, `[B]`, nats.

  Args:
    logits: of Q, `[B, K]`.
    labels: s, int `[B]`.
  """
  chex.assert_rank(logits, 2)
  chex.assert_shape(labels, (logits.shape[0],))
  log_q = jax.nn.log_softmax(logits)
  chosen = jax.nn.one_hot(labels, logits.shape[1])
  return -(log_q * chosen).sum(-1)


def continuous(
  mean: jax.Array, log_variance: jax.Array, s: jax.Array
) -> jax.Array:
  """-log Q(s|x) of real s under a diagonal Gaussian Q, `[B]`, nats.

  Args:
    mean: of Q, `[B, d]`.
    log_variance: of Q, like `mean` or a scalar.
    s: like `mean`.
  """
  return -distributions.gaussian_log_prob(s, mean, log_variance)


def bound(cross_entropy: jax.Array, entropy: float | jax.Array) -> jax.Array:
  """H(s) - E[-log Q]: the bound on I(s; x), nats; `entropy` tops discrete s.

  Args:
    cross_entropy: a mean of `categorical` or `continuous`.
    entropy: H(s).
  """
  return entropy - cross_entropy


def uniform_entropy(classes: int) -> float:
  """H of a uniform label, ln K."""
  return math.log(classes)


def label_entropy(labels: jax.Array, classes: int) -> jax.Array:
  """H of the labels of a batch, by their counts, `[]`, nats.

  In the mean it is short of the H(s) they are drawn from, by about
  (K - 1) / 2B (Miller 1955), and so is a bound that is made of it: it stays
  one.

  Args:
    labels: s, int `[B]`.
    classes: K.
  """
  chex.assert_rank(labels, 1)
  return jsp.entr(jax.nn.one_hot(labels, classes).mean(0)).sum()


def normal_entropy(dimensions: int) -> float:
  """H of N(0, I), d/2 ln(2 pi e): a density's, and no ceiling."""
  return 0.5 * dimensions * (distributions.LOG_2PI + 1.0)
