"""Residual encoder and decoder of the learned-prior adversarial autoencoder.

Wang, Peng, Ko 2019 (arXiv:1909.04443), layer tables of its appendix (aae.md
5): no normalisation inside residual blocks, a global average pool before the
encoder's linear layers, transposed convolutions in the decoder.

Departures: the skip of a block that changes size or width is a 1x1 convolution
(of stride 2, or after nearest-neighbour doubling), which the table leaves
open; the table's 4x4 pool after a stem of stride 2 meets a 2x2 map, so that
the pool is global here, and `stem_stride` 1 makes the printed one exact.
The initialisation is not stated: it is He et al. 2015's. N(0, 0.02), usual
where each layer is normalised, leaves next to nothing of an image after four
blocks that are not.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat.nets import groups
from genlat.nets.upconv import UpConv

INIT = nn.initializers.he_normal()
# A kernel that spreads one pixel: each output sees the d inputs once.
_SPREAD = nn.initializers.he_normal(in_axis=2, out_axis=(0, 1, 3))


class Residual(nn.Module):
  """Convolution, convolution, and the skip: `[B, H, W, C]` to `[..., F]`.

  Attributes:
    features: F.
    change: 'down' halves height and width, 'up' doubles, 'keep' keeps them.
    dtype: of the computation.
  """

  features: int
  change: str
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """The block."""
    stride = 2 if self.change == "down" else 1
    skip = x
    if self.change != "keep" or x.shape[-1] != self.features:
      skip = _conv(self.features, 1, stride, self.dtype, "skip")(x)
    if self.change == "up":
      # The same as doubling first, at a quarter of the work.
      skip = skip.repeat(2, axis=1).repeat(2, axis=2)
      x = UpConv(
        self.features, dtype=self.dtype, kernel_init=INIT, name="conv_1"
      )(x)
    else:
      x = _conv(self.features, 3, stride, self.dtype, "conv_1")(x)
    x = nn.relu(x)
    x = nn.relu(_conv(self.features, 3, 1, self.dtype, "conv_2")(x))
    return nn.relu(x + skip)


class Encoder(nn.Module):
  """Images `[B, S, S, C]` to `[B, outputs]`, float32.

  Attributes:
    outputs: d, or 2d where the code is a draw of a Gaussian.
    hidden: features of the linear layer before the last.
    channels: width of the stem and its block, then of each halving.
    stem_stride: 2 as printed, or 1.
    normalisation: 'batch' or 'none'.
    dtype: of the computation; the last layer is float32.
    remat: whether activations inside blocks are recomputed going back.
  """

  outputs: int
  hidden: int
  channels: tuple[int, ...]
  stem_stride: int
  normalisation: str
  dtype: Any
  remat: bool

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Encodes images of [-1, 1]."""
    chex.assert_rank(x, 4)
    block = nn.remat(Residual) if self.remat else Residual
    first, *rest = self.channels
    x = _conv(first, 3, self.stem_stride, self.dtype, "stem")(x)
    x = block(first, "keep", self.dtype, name="block_0")(nn.relu(x))
    for level, features in enumerate(rest, 1):
      x = block(features, "down", self.dtype, name=f"block_{level}")(x)
    x = _dense(self.hidden, self.dtype, "dense")(x.mean((1, 2)))
    x = nn.relu(normalise(x, self.normalisation, train, self.dtype, "norm"))
    return _dense(self.outputs, jnp.float32, "head")(x)


class Decoder(nn.Module):
  """Codes `[B, d]` to raw images `[B, H, W, C]`, float32, before tanh.

  Attributes:
    image_shape: (H, W, C), pixels; H = W = 4 * 2^(widths - 1).
    channels: of the encoder, met here in reverse.
    normalisation: 'batch' or 'none'.
    dtype: of the computation; the result is float32.
    remat: whether activations inside blocks are recomputed going back.
  """

  image_shape: tuple[int, int, int]
  channels: tuple[int, ...]
  normalisation: str
  dtype: Any
  remat: bool

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    """Decodes codes."""
    chex.assert_rank(z, 2)
    block = nn.remat(Residual) if self.remat else Residual
    *rest, last = self.channels
    # A 4x4 transposed convolution of one pixel is a linear layer; the kernel
    # lies as PyTorch's would, not flipped in space.
    kernel = self.param("stem_kernel", _SPREAD, (4, 4, z.shape[-1], last))
    bias = self.param("stem_bias", nn.initializers.zeros_init(), (last,))
    kernel, z = kernel.astype(self.dtype), z.astype(self.dtype)
    x = jnp.einsum("bd,hwdc->bhwc", z, kernel)
    x = x + bias.astype(self.dtype).reshape(1, 1, 1, -1)
    x = nn.relu(
      normalise(x, self.normalisation, train, self.dtype, "stem_norm")
    )
    for level, features in reversed(list(enumerate(rest))):
      x = block(features, "up", self.dtype, name=f"block_{level}")(x)
    x = _conv(self.image_shape[-1], 3, 1, self.dtype, "head")(x)
    return x.astype(jnp.float32)


def check_side(
  image_shape: tuple[int, int, int], channels: tuple[int, ...]
) -> None:
  """Raises ValueError for images that the widths do not lead to."""
  side = 4 * 2 ** (len(channels) - 1)
  if len(channels) < 1 or min(channels) < 1 or image_shape[:2] != (side, side):
    raise ValueError(
      f"{len(channels)} widths in config.model.channels make images of {side} x"
      f" {side}; got {image_shape[0]} x {image_shape[1]}: set"
      " config.data.image_size, or give one width more for twice the side"
    )


def normalise(
  x: jax.Array, kind: str, train: bool, dtype: Any, name: str
) -> jax.Array:
  """Batch or group normalisation inside a compact module, or nothing."""
  if kind == "none":
    return x
  if kind == "group":
    return nn.GroupNorm(
      num_groups=groups.count(x.shape[-1], 8, 2),
      epsilon=1e-5,
      dtype=dtype,
      name=name,
    )(x)
  return nn.BatchNorm(
    use_running_average=not train,
    momentum=0.9,
    epsilon=1e-5,
    dtype=dtype,
    name=name,
  )(x)


def _conv(
  features: int, kernel: int, stride: int, dtype: Any, name: str
) -> nn.Conv:
  return nn.Conv(
    features,
    (kernel, kernel),
    strides=(stride, stride),
    padding=kernel // 2,
    dtype=dtype,
    kernel_init=INIT,
    name=name,
  )


def _dense(features: int, dtype: Any, name: str) -> nn.Dense:
  return nn.Dense(features, dtype=dtype, kernel_init=INIT, name=name)
