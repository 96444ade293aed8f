"""A recurrent encoder of captions."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn


class CaptionEncoder(nn.Module):
  """Numbers of words `[B, L]` to the mean state of a GRU, `[B, outputs]`.

  The mean over the words, as Reed et al. 2016 (arXiv:1605.05395) have it: a
  word counts where it is read, beside its neighbours. From the last state
  alone, which of two colours is the ground's was learned by the order of the
  commonest phrases first, and of others late or not at all.

  Attributes:
    words: size of the vocabulary.
    outputs: units of the GRU, and of the words' vectors.
    reading: 'mean', or 'last' for weights that were trained so.
  """

  words: int
  outputs: int
  reading: str = "mean"

  @nn.compact
  def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """Encodes captions.

    Args:
      tokens: int32 `[B, L]`.
      lengths: int32 `[B]`, how many of each row are words, at least 1; what
        follows them plays no part.
    """
    chex.assert_rank([tokens, lengths], [2, 1])
    vectors = nn.Embed(self.words, self.outputs, name="words")(tokens)
    cell = nn.GRUCell(self.outputs, name="gru")
    states: Any = nn.RNN(cell, name="read")(vectors)
    if self.reading == "last":
      return states[jnp.arange(len(states)), lengths - 1]
    read = jnp.arange(tokens.shape[1])[None] < lengths[:, None]
    total = jnp.where(read[..., None], states, 0.0).sum(1)
    return total / lengths[:, None].astype(total.dtype)
