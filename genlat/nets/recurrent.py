"""A long short-term memory as a pure function of its merged weights."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


def lstm_shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
  """Shapes of the weights: one product for inputs and state, four gates."""
  return {"kernel": (inputs + hidden, 4 * hidden), "bias": (4 * hidden,)}


def lstm_bias(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Zeros, and ones for the gate that forgets."""
  del key
  hidden = shape[0] // 4
  return jnp.zeros(shape).at[hidden : 2 * hidden].set(1.0)


def lstm(
  weights: dict[str, jax.Array],
  x: jax.Array,
  hidden: jax.Array,
  cell: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """One step of an LSTM with forget gates (Gers et al. 2000).

  Args:
    weights: `kernel` `[n + h, 4h]` of input and state together, and `bias`
      `[4h]`, one a gate, in the order input, forget, candidate, output.
    x: `[B, n]`.
    hidden: `[B, h]`.
    cell: `[B, h]`.

  Returns:
    The new state and cell, `[B, h]` each.
  """
  chex.assert_rank([x, hidden, cell], 2)
  both = jnp.concatenate([x, hidden], -1)
  gates = affine(weights, both)
  entry, forget, candidate, output = jnp.split(gates, 4, -1)
  cell = nn.sigmoid(forget) * cell + nn.sigmoid(entry) * jnp.tanh(candidate)
  return nn.sigmoid(output) * jnp.tanh(cell), cell


def affine(weights: dict[str, jax.Array], x: jax.Array) -> jax.Array:
  """A linear map `[B, n]` to `[B, m]` and its bias."""
  out = x @ weights["kernel"].astype(x.dtype)
  return out + weights["bias"].astype(x.dtype)[None]
