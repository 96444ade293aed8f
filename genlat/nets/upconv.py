"""Transposed convolution whose gradients are fast on XLA's CPU backend.

Same parameters, values and gradients as `nn.ConvTranspose` with padding
'SAME'. XLA on CPU computes the weight gradient of a transposed convolution 50
to 100 times slower than needed (jax-ml/jax#31662). There, and only there, the
forward pass is a sub-pixel convolution (a dense one to stride^2 times the
channels, interleaved) and both gradients are those of the mirrored strided
convolution M, for which <g, up(x, w)> = <M(g, w), x>.

Known limit: no forward-mode differentiation (`jvp`, `jacfwd`).
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")


class UpConv(nn.Module):
  """Square transposed convolution with padding 'SAME': `[B, sH, sW, F]`.

  Attributes:
    features: number of output channels, F.
    kernel: side of the kernel, pixels.
    strides: factor s by which height and width grow.
    use_bias: whether a bias per output channel is added.
    dtype: of the computation; None follows inputs and parameters.
    kernel_init: initialiser of `kernel`, `[kernel, kernel, C, F]`.
    bias_init: initialiser of `bias`, `[F]`.
  """

  features: int
  kernel: int = 4
  strides: int = 2
  use_bias: bool = True
  dtype: Any = None
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[B, H, W, C]` to `[B, sH, sW, F]`."""
    chex.assert_rank(x, 4)
    shape = (self.kernel, self.kernel, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape)
    bias = None
    if self.use_bias:
      bias = self.param("bias", self.bias_init, (self.features,))
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
    y = up_convolve(x, kernel, self.strides)
    return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def up_convolve(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
  """`lax.conv_transpose(x, kernel, (s, s), 'SAME')`, fast on every platform.

  Args:
    x: `[B, H, W, C]`.
    kernel: `[K, K, C, F]`.
    strides: the factor s.

  Returns:
    `[B, sH, sW, F]`.
  """
  # The platform lowered for decides, not the host's: a step may be compiled
  # ahead of time for another machine.
  return lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(_sub_pixel, strides=strides),
    default=functools.partial(_plain, strides=strides),
  )


def _plain(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
  return lax.conv_transpose(x, kernel, (strides, strides), "SAME")


def _pad_before(kernel: int, strides: int) -> int:
  """Zeros that 'SAME' puts before the dilated input."""
  if strides > kernel - 1:
    return kernel - 1
  return -((kernel + strides - 2) // -2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _sub_pixel(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
  """Dense convolution to `[s, s, F]` channels, interleaved and cropped."""
  batch, *sides, _ = x.shape
  size, features, s = kernel.shape[0], kernel.shape[-1], strides
  taps = -(size // -s)
  # Output row i, counted from `start`, is row i // s of the dense map and
  # uses the kernel's rows that leave remainder s - 1 - i % s.
  start = s - 1 - _pad_before(size, s)
  first = start // s
  dense = jnp.pad(kernel, [(0, taps * s - size)] * 2 + [(0, 0)] * 2)
  dense = dense.reshape(taps, s, taps, s, -1, features)[:, ::-1, :, ::-1]
  dense = dense.transpose(0, 2, 4, 1, 3, 5).reshape(
    taps, taps, -1, s * s * features
  )
  padding = [(-first, (start - 1) // s + taps) for _ in sides]
  y = lax.conv_general_dilated(
    x, dense, (1, 1), padding, dimension_numbers=_LAYOUT
  )
  _, height, width, _ = y.shape
  y = y.reshape(batch, height, width, s, s, features)
  y = y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, s * height, s * width, -1)
  crop = start - s * first
  return y[:, crop : crop + s * sides[0], crop : crop + s * sides[1]]


def _mirror(g: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
  """The strided convolution that is the adjoint of `_plain` in x."""
  size = kernel.shape[0]
  before = size - 1 - _pad_before(size, strides)
  return lax.conv_general_dilated(
    g,
    kernel[::-1, ::-1].swapaxes(2, 3),
    (strides, strides),
    [(before, size - strides - before)] * 2,
    dimension_numbers=_LAYOUT,
  )


def _forward(
  x: jax.Array, kernel: jax.Array, strides: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _sub_pixel(x, kernel, strides), (x, kernel)


def _backward(
  strides: int, saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  dx, of_kernel = jax.vjp(lambda k: _mirror(g, k, strides), kernel)
  return dx, of_kernel(x)[0]


_sub_pixel.defvjp(_forward, _backward)
