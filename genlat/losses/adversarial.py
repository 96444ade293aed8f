"""Adversarial losses of logits: `[B]` to `[B]`, all to be minimised.

A discriminator's losses of real and of made examples are separate, so that a
game may have several kinds of fakes. Names and papers:

- 'non_saturating', 'saturating': Goodfellow et al. 2014 (arXiv:1406.2661),
  log D = -softplus(-a) and log(1 - D) = -softplus(a) of a logit a;
- 'least_squares': Mao et al. 2017 (arXiv:1611.04076), targets 1 and 0;
- 'hinge': Lim, Ye 2017 (arXiv:1705.02894);
- 'wasserstein': Arjovsky et al. 2017, with the gradient penalty of Gulrajani
  et al. 2017 (arXiv:1704.00028).
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

KINDS = (
  "hinge",
  "least_squares",
  "non_saturating",
  "saturating",
  "wasserstein",
)


def of_real(logits: jax.Array, kind: str) -> jax.Array:
  """The discriminator's loss of real examples, `[B]`.

  Args:
    logits: of the discriminator, `[B]`.
    kind: one of KINDS.

  Raises:
    ValueError: for another kind.
  """
  chex.assert_rank(logits, 1)
  if kind in ("non_saturating", "saturating"):
    return jax.nn.softplus(-logits)
  if kind == "least_squares":
    return 0.5 * jnp.square(logits - 1.0)
  if kind == "hinge":
    return jax.nn.relu(1.0 - logits)
  if kind == "wasserstein":
    return -logits
  raise _unknown(kind)


def of_made(logits: jax.Array, kind: str) -> jax.Array:
  """The discriminator's loss of made examples, `[B]`; as `of_real`."""
  chex.assert_rank(logits, 1)
  if kind in ("non_saturating", "saturating"):
    return jax.nn.softplus(logits)
  if kind == "least_squares":
    return 0.5 * jnp.square(logits)
  if kind == "hinge":
    return jax.nn.relu(1.0 + logits)
  if kind == "wasserstein":
    return logits
  raise _unknown(kind)


def of_generator(logits: jax.Array, kind: str) -> jax.Array:
  """The generator's loss of its own examples, `[B]`; as `of_real`."""
  chex.assert_rank(logits, 1)
  if kind == "non_saturating":
    return jax.nn.softplus(-logits)
  if kind == "saturating":
    return -jax.nn.softplus(logits)
  if kind == "least_squares":
    return 0.5 * jnp.square(logits - 1.0)
  if kind in ("hinge", "wasserstein"):
    return -logits
  raise _unknown(kind)


def gradient_penalty(
  critic: Callable[[jax.Array], jax.Array],
  real: jax.Array,
  made: jax.Array,
  mix: jax.Array,
) -> jax.Array:
  """(||grad critic|| - 1)^2 between real and made examples, `[B]`.

  Gulrajani et al. 2017, equation 3 without its weight.

  Args:
    critic: `[B, ...]` to logits `[B]`, each of its own example alone.
    real: `[B, ...]`.
    made: like `real`.
    mix: share of the real example in each point, `[B]` in [0, 1].
  """
  chex.assert_equal_shape([real, made])
  chex.assert_shape(mix, (real.shape[0],))
  share = mix.reshape(-1, *(1,) * (real.ndim - 1))
  points = share * real + (1.0 - share) * made
  slope = jax.grad(lambda x: critic(x).sum())(points)
  square = jnp.square(slope).sum(tuple(range(1, slope.ndim)))
  # The norm has no derivative at 0, where a new critic may well be.
  return jnp.square(jnp.sqrt(square + 1e-12) - 1.0)


def real_penalty(
  critic: Callable[[jax.Array], jax.Array], real: jax.Array
) -> jax.Array:
  """||grad critic||^2 / 2 at real examples, `[B]`.

  R1 of Mescheder et al. 2018 (arXiv:1801.04406), equation 9 without gamma.

  Args:
    critic: `[B, ...]` to logits `[B]`, each of its own example alone.
    real: `[B, ...]`.
  """
  slope = jax.grad(lambda x: critic(x).sum())(real)
  return 0.5 * jnp.square(slope).sum(tuple(range(1, slope.ndim)))


def _unknown(kind: str) -> ValueError:
  return ValueError(
    f"unknown adversarial loss {kind!r}; known: {', '.join(KINDS)}"
  )
