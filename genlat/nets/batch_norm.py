"""Batch normalisation (Ioffe, Szegedy 2015, arXiv:1502.03167, algorithms 1, 2).

Flax's layer in another order of shapes. Flax takes the inverse root in the
shape [1, 1, 1, C]; XLA moves that reshape in one of two equal passes only, the
one without a gradient, and no longer sees that both are the same. A game that
decodes and encodes the same images in both turns then computes them twice: 82
convolutions in a small step of IntroVAE, compiled for a CPU, instead of 71.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


class BatchNorm(nn.Module):
  """`[..., C]` to the same: names, values and averages of `nn.BatchNorm`.

  Attributes:
    use_running_average: whether the averages normalise, not the batch.
    momentum: share of the averages that a batch leaves.
    epsilon: added to the variance.
    dtype: of the result; statistics are float32 at least.
  """

  use_running_average: bool
  momentum: float
  epsilon: float
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises each of the C features over all other axes."""
    shape = (x.shape[-1],)
    averages = [
      self.variable("batch_stats", name, make, shape, jnp.float32)
      for name, make in (("mean", jnp.zeros), ("var", jnp.ones))
    ]
    statistics = [average.value for average in averages]
    if not self.use_running_average:
      statistics = _statistics(x, self.dtype)
      if not self.is_initializing():
        for average, found in zip(averages, statistics, strict=True):
          average.value = (
            self.momentum * average.value + (1 - self.momentum) * found
          )
    mean, var = statistics
    scale = self.param("scale", nn.initializers.ones, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    spread = functools.partial(jnp.broadcast_to, shape=x.shape)
    factor = lax.rsqrt(var + self.epsilon) * scale
    y = (x - spread(mean)) * spread(factor) + spread(bias)
    return y.astype(self.dtype)


def _statistics(x: jax.Array, dtype: Any) -> list[jax.Array]:
  """Mean and biased variance over all axes but the last, `[C]` each."""
  x = x.astype(jnp.promote_types(dtype, jnp.float32))
  axes = tuple(range(x.ndim - 1))
  mean = x.mean(axes)
  # In one pass; rounding can leave it below zero.
  return [mean, jnp.maximum(0.0, jnp.square(x).mean(axes) - jnp.square(mean))]
