"""Convolutional auto-encoder of Generative Latent Flow (InfoGAN's size).

Xiao, Yan, Amit 2019, as in the authors' training code: the decoder of Chen et
al. 2016 (InfoGAN) as used by Lucic et al. 2018, and its mirror as encoder.
Every layer has a bias, weights start from N(0, 0.02), and the second decoder
normalisation runs over flat features, not over channels.

Departures: the running variance is Flax's (biased) one, PyTorch's is the
unbiased estimate; the decoder returns raw last-layer values, and the method
maps them to [0, 1] by `to_unit`, so that a Bernoulli likelihood gets logits.
"""

from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat.nets.upconv import UpConv

Normalisation = Literal["batch", "none"]

_INIT = nn.initializers.normal(0.02)


class Block(nn.Module):
  """An affine map, batch normalisation if asked for, and ReLU.

  Attributes:
    kind: 'dense', 'down' (4x4 convolution of stride 2, PyTorch's padding 1)
      or 'up' (its transpose).
    features: number of output features or channels.
    normalise: whether batch normalisation follows the map.
    train: whether batch statistics are used.
    dtype: of the computation.
  """

  kind: Literal["dense", "down", "up"]
  features: int
  normalise: bool
  train: bool
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[B, ..., C]` to `[B, ..., features]`."""
    x = _affine(self.kind, self.features, self.dtype, "affine")(x)
    if self.normalise:
      x = nn.BatchNorm(
        use_running_average=not self.train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=self.dtype,
        name="norm",
      )(x)
    return nn.relu(x)


class Encoder(nn.Module):
  """Images `[B, H, W, C]` to `[B, outputs]`, float32.

  Attributes:
    outputs: size of the last layer: d codes, or 2d for mean and log-variance.
    dtype: of the computation; the last layer is float32.
    remat: whether activations inside blocks are recomputed going back.
    hidden: features of the dense hidden layer.
    channels: of the two convolutions.
    normalisation: 'batch' or 'none'.
  """

  outputs: int
  dtype: Any = jnp.float32
  remat: bool = False
  hidden: int = 1024
  channels: tuple[int, int] = (64, 128)
  normalisation: Normalisation = "batch"

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Encodes images.

    Args:
      x: `[B, H, W, C]` in [0, 1].
      train: whether batch statistics are used.

    Raises:
      ValueError: if H or W is not a multiple of 4.
    """
    chex.assert_rank(x, 4)
    _quarter(x.shape[1], x.shape[2])
    block = _blocks(self, train)
    first, second = self.channels
    x = block("down", first, "down_1", normalise=False)(x)
    x = block("down", second, "down_2")(x)
    x = block("dense", self.hidden, "dense")(x.reshape(x.shape[0], -1))
    return _affine("dense", self.outputs, jnp.float32, "head")(x)


class Decoder(nn.Module):
  """Codes `[B, d]` to raw images `[B, H, W, C]`, float32.

  Attributes:
    image_shape: (H, W, C), pixels.
    dtype: of the computation; the result is float32.
    remat: whether activations inside blocks are recomputed going back.
    hidden: features of the dense hidden layer.
    channels: of the encoder's two convolutions, met here in reverse.
    normalisation: 'batch' or 'none'.
  """

  image_shape: tuple[int, int, int]
  dtype: Any = jnp.float32
  remat: bool = False
  hidden: int = 1024
  channels: tuple[int, int] = (64, 128)
  normalisation: Normalisation = "batch"

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    """Decodes codes to raw last-layer values (see `to_unit`).

    Args:
      z: `[B, d]`.
      train: whether batch statistics are used.

    Raises:
      ValueError: if H or W is not a multiple of 4.
    """
    chex.assert_rank(z, 2)
    height, width, colours = self.image_shape
    quarter = _quarter(height, width)
    block = _blocks(self, train)
    first, second = self.channels
    x = block("dense", self.hidden, "dense_1")(z)
    # Normalised flat, before the reshape: per feature, not per channel.
    x = block("dense", quarter[0] * quarter[1] * second, "dense_2")(x)
    x = block("up", first, "up")(x.reshape(-1, *quarter, second))
    x = _affine("up", colours, self.dtype, "head")(x)
    return x.astype(jnp.float32)


def to_unit(raw: jax.Array, activation: str) -> jax.Array:
  """Maps raw decoder outputs to images in [0, 1], same shape.

  Args:
    raw: any shape.
    activation: 'tanh' for tanh(a) / 2 + 1 / 2, 'sigmoid' for sigmoid(a);
      the first is the second at 2a.

  Raises:
    ValueError: if `activation` is neither.
  """
  if activation == "tanh":
    return jnp.tanh(raw) * 0.5 + 0.5
  if activation == "sigmoid":
    return jax.nn.sigmoid(raw)
  raise ValueError(
    f"activation must be 'tanh' or 'sigmoid'; got {activation!r}"
  )


def _affine(kind: str, features: int, dtype: Any, name: str) -> nn.Module:
  """One layer with bias; kernels N(0, 0.02), biases 0."""
  shared = {"dtype": dtype, "kernel_init": _INIT, "name": name}
  if kind == "dense":
    return nn.Dense(features, **shared)
  if kind == "up":
    return UpConv(features, **shared)
  return nn.Conv(
    features, (4, 4), strides=(2, 2), padding=((1, 1), (1, 1)), **shared
  )


def _blocks(net: Encoder | Decoder, train: bool) -> Callable[..., nn.Module]:
  """A maker of the net's blocks, rematerialised where the net asks for it."""
  if net.normalisation not in ("batch", "none"):
    raise ValueError(
      f"normalisation must be 'batch' or 'none'; got {net.normalisation!r}"
    )
  kind = nn.remat(Block) if net.remat else Block
  norm = net.normalisation == "batch"

  def block(
    layer: Literal["dense", "down", "up"],
    features: int,
    name: str,
    normalise: bool = True,
  ) -> nn.Module:
    return kind(
      layer, features, normalise and norm, train, net.dtype, name=name
    )

  return block


def _quarter(height: int, width: int) -> tuple[int, int]:
  """Height and width after two halvings."""
  if height % 4 or width % 4 or not height or not width:
    raise ValueError(
      "this network needs images whose height and width are multiples of 4;"
      f" got {height} x {width}: set config.data.image_size to such a size"
    )
  return height // 4, width // 4
