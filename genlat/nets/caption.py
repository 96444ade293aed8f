"""A recurrent encoder of captions."""

import chex
import jax
from flax import linen as nn


class CaptionEncoder(nn.Module):
  """Numbers of words `[B, L]` to the last state of a GRU, `[B, outputs]`.

  Attributes:
    words: size of the vocabulary.
    outputs: units of the GRU, and of the words' vectors.
  """

  words: int
  outputs: int

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
    read = nn.RNN(cell, return_carry=True, name="read")
    return read(vectors, seq_lengths=lengths)[0]
