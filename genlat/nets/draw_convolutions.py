"""Convolutions around DRAW's reading and writing (draw.md 6.1, variant A).

What the read window gives is a small image, and so is what a stroke is made of:
a convolutional network stands between each and the LSTM. This is genlat's own
reading of "a CNN at the encode and decode stages"; no paper defines it.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat.nets.upconv import UpConv

_LAST = nn.initializers.normal(0.01)  # the canvas begins as it was


def strides(side: int, count: int, whole: bool) -> tuple[int, ...]:
  """Strides of the convolutions: a window's first one keeps its size.

  Args:
    side: pixels of the smaller edge.
    count: how many.
    whole: whether it is the image, not a window.
  """
  found = tuple(2 if whole or i else 1 for i in range(count))
  if side // 2 ** sum(s == 2 for s in found) < 1:
    raise ValueError(
      f"config.draw.channels halves {side} pixels {found.count(2)} times: give"
      " fewer widths"
    )
  return found


class ReadNet(nn.Module):
  """3x3 convolutions of what was read: `[B, h, w, C]` to `[B, n]`.

  Attributes:
    channels: width of each.
    whole: whether the image is read, not a window.
    dtype: of the computation.
  """

  channels: tuple[int, ...]
  whole: bool
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps what was read to features."""
    chex.assert_rank(x, 4)
    steps = strides(min(x.shape[1:3]), len(self.channels), self.whole)
    for level, (width, step) in enumerate(
      zip(self.channels, steps, strict=True)
    ):
      x = nn.Conv(
        width,
        (3, 3),
        strides=(step, step),
        dtype=self.dtype,
        name=f"conv_{level}",
      )(x)
      x = nn.relu(x)
    return x.reshape(x.shape[0], -1)


class WriteNet(nn.Module):
  """A decoder's state `[B, h]` to a stroke `[B, H, W, C]`, linear at last.

  Attributes:
    shape: H, W, C of the stroke.
    channels: of the reading side, met here in reverse.
    whole: whether the image is written, not a window.
    dtype: of the computation; the result is float32.
  """

  shape: tuple[int, int, int]
  channels: tuple[int, ...]
  whole: bool
  dtype: Any

  @nn.compact
  def __call__(self, state: jax.Array) -> jax.Array:
    """Maps a state to a stroke."""
    chex.assert_rank(state, 2)
    height, width, last = self.shape
    steps = strides(min(height, width), len(self.channels), self.whole)
    sizes: list[tuple[int, ...]] = [(height, width)]
    for step in steps:
      sizes.append(tuple(-(-n // step) for n in sizes[-1]))
    rows, columns = sizes[-1]
    x = nn.Dense(
      rows * columns * self.channels[-1], dtype=self.dtype, name="dense"
    )(state)
    x = nn.relu(x).reshape(-1, rows, columns, self.channels[-1])
    outputs = [last, *self.channels[:-1]]
    for level in reversed(range(len(steps))):
      final = level == 0
      init = _LAST if final else nn.initializers.lecun_normal()
      if steps[level] == 2:
        net = UpConv(
          outputs[level], dtype=self.dtype, kernel_init=init, name=f"up_{level}"
        )
      else:
        net = nn.Conv(
          outputs[level],
          (3, 3),
          dtype=self.dtype,
          kernel_init=init,
          name=f"conv_{level}",
        )
      high, wide = sizes[level]
      x = net(x)[:, :high, :wide]
      x = x if final else nn.relu(x)
    return x.astype(jnp.float32)
