"""A recurrent network that looks at an image through a moving window.

Gregor et al. 2015 (arXiv:1502.04623), section 4.1, the differentiable form of
Mnih et al. 2014 (arXiv:1406.6247), with the window of DRAW's reading:

  g_t = read(x, h_{t-1})          one patch N x N, equation 27
  h_t = LSTM(h_{t-1}, g_t)        t = 1 ... T
  logits = affine(h_T)

The state starts from learned biases, and cells from zeros, as DRAW's do; the
paper does not say what from. Departure: filters start as wide as half their
distance, so that the first window sees all of the image, where zero biases
would give it a sample of single pixels nine apart.
"""

import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat.nets import attention
from genlat.nets.recurrent import affine, lstm, lstm_bias, lstm_shapes

_HEAD = nn.initializers.normal(0.01)


class Glance(NamedTuple):
  """What T glimpses left behind.

  Attributes:
    logits: of the labels, `[B, K]`.
    state: h_T, `[B, h]`.
    seen: windows, each part `[B, T]`; None where the whole image is read.
  """

  logits: jax.Array
  state: jax.Array
  seen: attention.Window | None


class Glimpses(nn.Module):
  """The classifier of glimpses.

  Attributes:
    image_shape: H, W, C.
    classes: K.
    steps: T.
    hidden: h, units of the LSTM.
    read: N, filters along an edge of the window; 0 = the whole image.
    learned_start: whether the state starts from a learned bias, else zeros.
    learned_cell: whether the cell does.
    dtype: of the LSTM; windows and logits are float32.
    remat: whether a step is recomputed on the way back.
    unroll: steps of the scan that are unrolled.
  """

  image_shape: tuple[int, int, int]
  classes: int
  steps: int
  hidden: int
  read: int
  learned_start: bool
  learned_cell: bool
  dtype: Any
  remat: bool
  unroll: int

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool = False) -> Glance:
    """Looks T times at images `[B, H, W, C]` in [0, 1]."""
    del train
    chex.assert_shape(x, (None, *self.image_shape))
    height, width, c = self.image_shape
    zeros = nn.initializers.zeros_init()
    pixels = (self.read**2 or height * width) * c
    shapes = lstm_shapes(pixels, self.hidden)
    weights = {
      "kernel": self.param(
        "lstm_kernel", nn.initializers.lecun_normal(), shapes["kernel"]
      ),
      "bias": self.param("lstm_bias", lstm_bias, shapes["bias"]),
    }

    def linear(
      name: str, outputs: int, biases: tuple[float, ...] = ()
    ) -> dict[str, jax.Array]:
      shape = (self.hidden, outputs)
      bias = jnp.array(biases) if biases else jnp.zeros(outputs)
      return {
        "kernel": self.param(f"{name}_kernel", _HEAD, shape),
        "bias": self.param(f"{name}_bias", lambda _: bias),
      }

    looks = None
    if self.read:
      stride = (max(height, width) - 1) / max(self.read - 1, 1)
      looks = linear(
        "read_window",
        attention.PARAMETERS,
        (0.0, 0.0, 2.0 * math.log(max(stride / 2.0, 1.0)), 0.0, 0.0),
      )
    head = linear("head", self.classes)

    def start(name: str, learned: bool) -> jax.Array:
      size = (self.hidden,)
      value = self.param(name, zeros, size) if learned else jnp.zeros(size)
      row = value.astype(self.dtype)[None]
      return jnp.broadcast_to(row, (len(x), self.hidden))

    def step(carry: Any, _: Any):
      state, cell = carry
      place, patch = None, x
      if looks is not None:
        raw = affine(looks, state.astype(jnp.float32))
        place = attention.window(raw, height, width, self.read)
        patch = attention.read(x, place, self.read)
      seen = patch.reshape(len(x), -1).astype(self.dtype)
      return lstm(weights, seen, state, cell), place

    carry = (
      start("state_start", self.learned_start),
      start("cell_start", self.learned_cell),
    )
    body = jax.checkpoint(step) if self.remat else step
    (state, _), seen = jax.lax.scan(
      body, carry, None, length=self.steps, unroll=self.unroll
    )
    state = state.astype(jnp.float32)
    if seen is not None:
      seen = jax.tree.map(lambda a: a.swapaxes(0, 1), seen)
    return Glance(affine(head, state), state, seen)
