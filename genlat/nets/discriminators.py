"""Discriminators of images and of codes, and the generator of codes.

Wang, Peng, Ko 2019 (arXiv:1909.04443), layer tables of its appendix (aae.md
5). The slope of the leaky rectifiers, which the tables leave out, is 0.2.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat.nets.pooled import INIT, normalise

SLOPE = 0.2


class Judgement(NamedTuple):
  """What an image discriminator makes of images.

  Attributes:
    logits: `[B]`.
    features: F(x), the last convolution's map after its rectifier, flattened,
      `[B, n]`.
    trunk: the last hidden layer, which classifiers share, `[B, hidden]`.
  """

  logits: jax.Array
  features: jax.Array
  trunk: jax.Array


class ImageDiscriminator(nn.Module):
  """Images `[B, S, S, C]` to a `Judgement`, float32.

  Attributes:
    channels: width after each halving; S / 2^L is the side of F's map.
    hidden: units of the linear layer.
    normalisation: 'batch' (none after the first convolution), 'group' or
      'none'.
    dtype: of the computation; results are float32.
    text: units that a caption's vector has beside F's map; 0 = no caption.
  """

  channels: tuple[int, ...]
  hidden: int
  normalisation: str
  dtype: Any
  text: int = 0

  @nn.compact
  def __call__(
    self, x: jax.Array, given: jax.Array | None = None, *, train: bool
  ) -> Judgement:
    """Judges images of [-1, 1], as pictures of captions if told any.

    The caption is joined after F as in Reed et al. 2016 (arXiv:1605.05396,
    figure 2), so that F measures images alone.

    Args:
      x: `[B, S, S, C]`.
      given: `[B k, t]`, k captions of each image, one image after the other;
        logits and trunk are `[B k, ...]` then. One normalisation sees them
        all.
      train: whether batch statistics are used.

    Raises:
      ValueError: if a caption is missing, or there should be none.
    """
    chex.assert_rank(x, 4)
    if bool(self.text) != (given is not None):
      raise ValueError(
        f"this image discriminator {'needs' if self.text else 'takes no'}"
        f" caption; got {'none' if given is None else 'one'}"
      )
    for level, features in enumerate(self.channels):
      x = nn.Conv(
        features,
        (4, 4),
        strides=(2, 2),
        padding=1,
        dtype=self.dtype,
        kernel_init=INIT,
        name=f"conv_{level}",
      )(x)
      if level:
        x = normalise(x, self.normalisation, train, self.dtype, f"norm_{level}")
      x = nn.leaky_relu(x, SLOPE)
    seen = x.reshape(x.shape[0], -1).astype(jnp.float32)
    if given is not None:
      x = self._joined(x, given, train)
    x = x.reshape(x.shape[0], -1)
    x = nn.leaky_relu(_dense(self.hidden, self.dtype, "dense")(x), SLOPE)
    x = x.astype(jnp.float32)
    logits = _dense(1, jnp.float32, "head")(x)[:, 0]
    return Judgement(logits, seen, x)

  def _joined(self, x: jax.Array, given: jax.Array, train: bool) -> jax.Array:
    """Maps `[B, h, w, c]` with each of their captions at all places."""
    told = nn.leaky_relu(_dense(self.text, self.dtype, "text")(given), SLOPE)
    x = jnp.repeat(x, len(given) // len(x), 0)
    told = jnp.broadcast_to(
      told[:, None, None], (*x.shape[:3], told.shape[-1])
    ).astype(x.dtype)
    x = nn.Conv(
      self.channels[-1],
      (1, 1),
      dtype=self.dtype,
      kernel_init=INIT,
      name="conv_text",
    )(jnp.concatenate([x, told], -1))
    x = normalise(x, self.normalisation, train, self.dtype, "norm_text")
    return nn.leaky_relu(x, SLOPE)


class CodeDiscriminator(nn.Module):
  """Codes `[B, d]`, beside what they are of, to logits `[B]`, float32.

  Attributes:
    hidden: units of each hidden layer.
    conditional: whether labels or text belong to the input.
    dtype: of the computation; the last layer is float32.
  """

  hidden: tuple[int, ...]
  conditional: bool
  dtype: Any

  @nn.compact
  def __call__(
    self, code: jax.Array, given: jax.Array | None = None, *, train: bool
  ) -> jax.Array:
    """Judges codes.

    Raises:
      ValueError: if a condition is missing, or there should be none.
    """
    del train
    chex.assert_rank(code, 2)
    if self.conditional != (given is not None):
      raise ValueError(
        "this code discriminator is"
        f" {'conditional' if self.conditional else 'unconditional'}; got"
        f" {'no' if given is None else 'a'} condition"
      )
    x = code if given is None else jnp.concatenate([code, given], -1)
    for level, units in enumerate(self.hidden):
      x = nn.leaky_relu(_dense(units, self.dtype, f"dense_{level}")(x), SLOPE)
    return _dense(1, jnp.float32, "head")(x)[:, 0]


class CodeGenerator(nn.Module):
  """Noise, beside a condition, to codes `[B, outputs]`, float32.

  The last normalisation is linear: the learned prior's scale lives in it.

  Attributes:
    outputs: d.
    normalisation: 'batch' or 'none'.
    dtype: of the computation.
  """

  outputs: int
  normalisation: str
  dtype: Any

  @nn.compact
  def __call__(
    self, noise: jax.Array, given: jax.Array | None = None, *, train: bool
  ) -> jax.Array:
    """Makes codes of noise `[B, n]` and a condition `[B, k]`."""
    x = noise if given is None else jnp.concatenate([noise, given], -1)
    hidden = 2 * x.shape[-1]
    x = _dense(hidden, self.dtype, "dense_0")(x)
    x = nn.relu(normalise(x, self.normalisation, train, self.dtype, "norm_0"))
    x = _dense(self.outputs, jnp.float32, "dense_1")(x)
    return normalise(x, self.normalisation, train, jnp.float32, "norm_1")


class Head(nn.Module):
  """One linear layer, such as Q on a discriminator's trunk, float32.

  Attributes:
    outputs: number of logits.
  """

  outputs: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps `[B, n]` to `[B, outputs]`."""
    del train
    return _dense(self.outputs, jnp.float32, "head")(x)


def _dense(features: int, dtype: Any, name: str) -> nn.Dense:
  return nn.Dense(features, dtype=dtype, kernel_init=INIT, name=name)
