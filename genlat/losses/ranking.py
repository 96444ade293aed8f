"""Ranking losses between images and captions in one space."""

import chex
import jax
import jax.numpy as jnp


def cosine_hinge(
  images: jax.Array, texts: jax.Array, margin: float, same: jax.Array
) -> jax.Array:
  """How far wrong captions, and wrong images, come within a margin.

  With s the cosine, over pairs i, j of another text, of

    max(0, margin - s(x_i, t_i) + s(x_i, t_j)) and
    max(0, margin - s(x_i, t_i) + s(x_j, t_i)),

  after Kiros et al. 2014 (arXiv:1411.2539), equation 2, with the wrong ones
  taken from the batch, the mean of those that are not 0 (Hermans et al. 2017,
  arXiv:1703.07737, 2). Of random wrong ones few differ in a single word or in
  the order of words, and the mean of all is at rest without them.

  Args:
    images: `[B, d]`.
    texts: `[B, d]`, of the same rows.
    margin: of cosines.
    same: bool `[B, B]`, whether text j is one of image i; the diagonal is.

  Returns:
    `[]`; 0 where none is within the margin, or all rows have one text.
  """
  chex.assert_rank([images, texts, same], [2, 2, 2])
  chex.assert_equal_shape([images, texts])
  cosines = unit(images) @ unit(texts).T
  right = jnp.diagonal(cosines)
  wrong_text = jax.nn.relu(margin - right[:, None] + cosines)
  wrong_image = jax.nn.relu(margin - right[None, :] + cosines)
  terms = jnp.where(same, 0.0, jnp.stack([wrong_text, wrong_image]))
  return terms.sum() / jnp.maximum((terms > 0).sum(), 1)


def unit(x: jax.Array) -> jax.Array:
  """Rows `[..., d]` scaled to length 1; rows of zeros stay."""
  # Of the square, so that the slope at 0 is a number.
  square = jnp.square(x).sum(-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))
