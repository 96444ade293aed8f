"""Distance of images by the features of a frozen network.

Xiao, Yan, Amit 2019 (GLF), as in the authors' training code: absolute
differences, summed over all features of all taps without layer weights. The
loss of a method adds the pixels' own term.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp


def perceptual_l1(
  features_x: Sequence[jax.Array], features_y: Sequence[jax.Array]
) -> jax.Array:
  """Sum over taps and features of |x - y|, `[B]`.

  Args:
    features_x: `[B, ...]` per tap.
    features_y: like `features_x`.

  Raises:
    ValueError: if the numbers of taps differ, or there is none.
  """
  if not features_x or len(features_x) != len(features_y):
    raise ValueError(
      "expected the features of equally many taps, at least one; got"
      f" {len(features_x)} and {len(features_y)}"
    )
  total = jnp.zeros((), jnp.float32)
  for x, y in zip(features_x, features_y, strict=True):
    chex.assert_equal_shape([x, y])
    distance = jnp.abs(x.astype(jnp.float32) - y.astype(jnp.float32))
    total = total + distance.reshape(len(x), -1).sum(1)
  return total
