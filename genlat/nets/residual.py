"""Residual encoder and decoder of IntroVAE, for 28 to 1024 pixels.

Huang et al. 2018, appendix B and the official code; Soft-IntroVAE (Daniel,
Tamar 2021) uses the same tables at other widths. A network of L channel widths
halves the image L times, down to a base of S / 2^L pixels (4, or 7 at 28).

Departures: features are flattened in the order of [H, W, C], the official code
has [C, H, W]; the extra 1x1 convolutions that it puts between equal widths
above 256, an accident of comparing integers by identity, are left out. Under
normalisation by groups, which is not in it, the stem has a bias. The
running variance is Flax's (biased) one. Bases other than 4 and 7 pixels, which
the official code refuses, are allowed.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat.nets import groups
from genlat.nets.batch_norm import BatchNorm

Normalisation = Literal["batch", "group", "none"]
Placement = Literal["sum", "branch"]

# PyTorch's default: uniform in +- 1 / sqrt(fan in), for weights and biases.
_KERNEL = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
_SLOPE = 0.2


class Normalise(nn.Module):
  """Batch or group normalisation, or none: `[B, H, W, C]` to the same.

  Attributes:
    kind: 'batch', 'group' (at most 32 groups, of 4 channels at least) or
      'none'.
    train: whether batch statistics are used.
    dtype: of the computation.
  """

  kind: Normalisation
  train: bool
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises."""
    if self.kind == "batch":
      return BatchNorm(
        use_running_average=not self.train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=self.dtype,
        name="batch",
      )(x)
    if self.kind == "group":
      return nn.GroupNorm(
        num_groups=groups.count(x.shape[-1], 32, 4),
        epsilon=1e-5,
        dtype=self.dtype,
        name="group",
      )(x)
    return x


class Block(nn.Module):
  """Two 3x3 convolutions beside an identity or a 1x1 convolution.

  Attributes:
    features: F.
    placement: the last normalisation acts on the 'sum' of branch and skip
      (IntroVAE) or on the 'branch' alone (Soft-IntroVAE).
    normalisation: its kind.
    train: whether batch statistics are used.
    dtype: of the computation.
  """

  features: int
  placement: Placement
  normalisation: Normalisation
  train: bool
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[B, H, W, C]` to `[B, H, W, F]`."""
    norm = functools.partial(
      Normalise, self.normalisation, self.train, self.dtype
    )
    convolve = functools.partial(_conv, dtype=self.dtype)
    skip = x
    if x.shape[-1] != self.features:
      skip = convolve(self.features, 1, name="skip")(x)
    x = convolve(self.features, 3, name="conv_1")(x)
    x = _rectify(norm(name="norm_1")(x))
    x = convolve(self.features, 3, name="conv_2")(x)
    if self.placement == "branch":
      return _rectify(norm(name="norm_2")(x) + skip)
    return _rectify(norm(name="norm_2")(x + skip))


class Encoder(nn.Module):
  """Images `[B, S, S, C]` to `[B, outputs]`, float32.

  Attributes:
    outputs: size of the last layer, 2d for mean and log-variance.
    channels: width after each halving.
    placement: see `Block`.
    normalisation: 'batch', 'group' or 'none'.
    dtype: of the computation; the last layer is float32.
    remat: whether activations inside blocks are recomputed going back.
  """

  outputs: int
  channels: tuple[int, ...]
  placement: Placement
  normalisation: Normalisation
  dtype: Any
  remat: bool

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Encodes images.

    Args:
      x: `[B, S, S, C]`.
      train: whether batch statistics are used.

    Raises:
      ValueError: if the sides are no multiple of 2^L.
    """
    chex.assert_rank(x, 4)
    base_shape(x.shape[1:3], self.channels)
    block = _blocks(self, train)
    # By groups, without a bias, an image and its half would be one.
    bias = 25 * x.shape[-1] if self.normalisation == "group" else 0
    x = _conv(self.channels[0], 5, dtype=self.dtype, fan_in=bias, name="stem")(
      x
    )
    x = Normalise(self.normalisation, train, self.dtype, name="stem_norm")(x)
    x = _halve(_rectify(x))
    for level, features in enumerate(self.channels[1:], 1):
      x = _halve(block(features, name=f"block_{level}")(x))
    x = block(self.channels[-1], name="block_last")(x)
    x = x.reshape(x.shape[0], -1)
    return _dense(self.outputs, x.shape[-1], _wide(self.dtype), "head")(x)


class Decoder(nn.Module):
  """Codes `[B, d]` to raw images `[B, H, W, C]`, float32, not rectified.

  Attributes:
    image_shape: (H, W, C), pixels.
    channels: of the encoder, met here in reverse.
    placement: see `Block`.
    normalisation: 'batch', 'group' or 'none'.
    dtype: of the computation; the result is float32.
    remat: whether activations inside blocks are recomputed going back.
  """

  image_shape: tuple[int, int, int]
  channels: tuple[int, ...]
  placement: Placement
  normalisation: Normalisation
  dtype: Any
  remat: bool

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    """Decodes codes.

    Args:
      z: `[B, d]`.
      train: whether batch statistics are used.

    Raises:
      ValueError: if the sides are no multiple of 2^L.
    """
    chex.assert_rank(z, 2)
    base = base_shape(self.image_shape[:2], self.channels)
    block = _blocks(self, train)
    size = base[0] * base[1] * self.channels[-1]
    x = nn.relu(_dense(size, z.shape[-1], self.dtype, "stem")(z))
    x = x.reshape(-1, *base, self.channels[-1])
    for level, features in reversed(list(enumerate(self.channels, 1))):
      x = _double(block(features, name=f"block_{level}")(x))
    x = block(self.channels[0], name="block_0")(x)
    x = _conv(
      self.image_shape[-1],
      5,
      dtype=self.dtype,
      fan_in=25 * self.channels[0],
      name="head",
    )(x)
    return x.astype(_wide(self.dtype))


def base_shape(
  sides: tuple[int, ...], channels: tuple[int, ...]
) -> tuple[int, int]:
  """Height and width after one halving a width.

  Raises:
    ValueError: if that is no whole number, or no number of widths was given.
  """
  factor = 2 ** len(channels)
  if not channels or min(channels) < 1:
    raise ValueError(
      "config.model.channels must be numbers of at least 1, one a halving of"
      f" the image, such as 64,128,256; got {channels}"
    )
  if any(side < factor or side % factor for side in sides):
    raise ValueError(
      f"{len(channels)} widths in config.model.channels halve the image"
      f" {len(channels)} times: its sides must be multiples of {factor}; got"
      f" {' x '.join(map(str, sides))}"
    )
  return sides[0] // factor, sides[1] // factor


def _blocks(net: Encoder | Decoder, train: bool) -> Callable[..., nn.Module]:
  """A maker of the net's blocks, rematerialised where the net asks for it."""
  kind = nn.remat(Block) if net.remat else Block
  return functools.partial(
    kind,
    placement=net.placement,
    normalisation=net.normalisation,
    train=train,
    dtype=net.dtype,
  )


def _conv(
  features: int, kernel: int, *, dtype: Any, name: str, fan_in: int = 0
) -> nn.Conv:
  """A square convolution that keeps height and width; a fan in for a bias."""
  return nn.Conv(
    features,
    (kernel, kernel),
    padding=kernel // 2,
    use_bias=fan_in > 0,
    dtype=dtype,
    kernel_init=_KERNEL,
    bias_init=_uniform(fan_in),
    name=name,
  )


def _dense(features: int, fan_in: int, dtype: Any, name: str) -> nn.Dense:
  return nn.Dense(
    features,
    dtype=dtype,
    kernel_init=_KERNEL,
    bias_init=_uniform(fan_in),
    name=name,
  )


def _uniform(fan_in: int) -> nn.initializers.Initializer:
  """Uniform in +- 1 / sqrt(fan in)."""
  bound = max(fan_in, 1) ** -0.5

  def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def _wide(dtype: Any) -> Any:
  """The type of log-variances and images: float32 at least."""
  return jnp.promote_types(dtype, jnp.float32)


def _rectify(x: jax.Array) -> jax.Array:
  return nn.leaky_relu(x, _SLOPE)


def _halve(x: jax.Array) -> jax.Array:
  """Means of 2x2 pixels."""
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _double(x: jax.Array) -> jax.Array:
  """Each pixel four times (nearest neighbour)."""
  b, h, w, c = x.shape
  wide = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
  return wide.reshape(b, 2 * h, 2 * w, c)
