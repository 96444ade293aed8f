"""Convolutional DRAW with a learned prior (draw.md 6.2, variant B).

The structure of Gregor et al. 2016 (arXiv:1604.08772) as public code agrees on
it: the canvas r has the image's size, all other maps half of it.

  e_t   = x - mean(r_{t-1})
  h^e_t = ConvLSTM(h^e_{t-1}; [x, e_t] at half size, h^d_{t-1})
  q_t   = N(conv h^e_t),  p_t = N(conv h^d_{t-1}),  z_t ~ q_t
  h^d_t = ConvLSTM(h^d_{t-1}; z_t, r_{t-1} at half size)
  r_t   = r_{t-1} + shuffle(conv h^d_t)

All convolutions are 5x5, those to half size of stride 2. Log-deviations are
clipped to [-5, 5], as one of the codes has it.

Departures: first states are learned as one value a map, cells start from
zeros. The canvas has C maps, the mean's logits; where the likelihood has a
scale, it is one number for all pixels, not maps of its own.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from genlat import scans
from genlat.nets.draw import Film, Steps

_LIMIT = 5.0
_KERNEL = 5
_LAYOUT = ("NHWC", "HWIO", "NHWC")
_INIT = nn.initializers.lecun_normal()
_SMALL = nn.initializers.normal(0.01)

Weights = dict[str, jax.Array]


class ConvDraw(nn.Module):
  """Encoder, prior and decoder of convolutional DRAW.

  Attributes:
    image_shape: H, W, C; H and W even.
    steps: T.
    hidden: maps of each LSTM.
    latent: Z, maps of a step's code.
    dtype: of convolutions; codes and canvas are float32.
    remat: whether a step is recomputed on the way back.
  """

  image_shape: tuple[int, int, int]
  steps: int
  hidden: int
  latent: int
  dtype: Any
  remat: bool

  @property
  def code_shape(self) -> tuple[int, int, int]:
    """h, w, Z of a step's code."""
    height, width, _ = self.image_shape
    return height // 2, width // 2, self.latent

  def setup(self) -> None:
    """Makes all weights; the steps are pure functions of them."""
    c, n, z = self.image_shape[-1], self.hidden, self.latent
    self.read = self._conv("read", 2 * c, n)
    self.look = self._conv("look", c, n)
    self.encoder = self._lstm("encoder", 2 * n)
    self.decoder = self._lstm("decoder", z + n)
    self.posterior = self._conv("posterior", n, 2 * z, _SMALL)
    self.prior = self._conv("prior", n, 2 * z, _SMALL)
    self.write = self._conv("write", n, 4 * c, _SMALL)
    zeros = nn.initializers.zeros_init()
    sizes = {"encoder_start": n, "decoder_start": n, "canvas_start": c}
    self.starts = {k: self.param(k, zeros, (v,)) for k, v in sizes.items()}

  def _conv(
    self, name: str, inputs: int, outputs: int, init: Any = _INIT
  ) -> Weights:
    shape = (_KERNEL, _KERNEL, inputs, outputs)
    zeros = nn.initializers.zeros_init()
    return {
      "kernel": self.param(f"{name}_kernel", init, shape),
      "bias": self.param(f"{name}_bias", zeros, (outputs,)),
    }

  def _lstm(self, name: str, inputs: int) -> Weights:
    """Gates of inputs and state in one convolution; one that forgets is 1."""
    weights = self._conv(name, inputs + self.hidden, 4 * self.hidden)
    forget = jnp.zeros(4 * self.hidden).at[self.hidden : 2 * self.hidden].set(1)
    return {**weights, "bias": weights["bias"] + forget}

  def __call__(
    self, x: jax.Array, noise: jax.Array, *, train: bool = True
  ) -> Steps:
    """Infers codes of images, and paints.

    Args:
      x: `[B, H, W, C]` in [0, 1].
      noise: standard normal, `[B, T, h, w, Z]`.
      train: plays no part.

    Returns:
      Codes and the laws of each step, `[B, T, h, w, Z]`, with those of the
      prior.
    """
    del train
    chex.assert_shape(x, (None, *self.image_shape))
    chex.assert_shape(noise, (x.shape[0], self.steps, *self.code_shape))

    def step(now: Any, eps: jax.Array):
      now, code, laws = self._infer(now, x, eps)
      return now, (code, *laws)

    now, out = self._run(step, len(x), noise)
    return Steps(now["canvas"], *(a.swapaxes(0, 1) for a in out))

  def generate(self, codes: jax.Array, *, train: bool = False) -> jax.Array:
    """The canvas `[B, H, W, C]` that codes `[B, T, h, w, Z]` paint."""
    del train
    step = lambda now, code: (self._paint(now, code), None)
    return self._run(step, len(codes), codes)[0]["canvas"]

  def dream(
    self, noise: jax.Array, codes: jax.Array, kept: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Paints given codes, and between them the prior's, in one pass.

    Args:
      noise: standard normal, `[B, T, h, w, Z]`; zeros give the prior's means.
      codes: like `noise`.
      kept: bool `[T]`, the steps whose code is given.
      train: plays no part.

    Returns:
      The canvas `[B, H, W, C]`, and all codes that were painted.
    """
    del train

    def step(now: Weights, row: Any):
      eps, code, keep = row
      mean, log_sigma = self._law(self.prior, now["decoder"])
      code = jnp.where(keep, code, mean + jnp.exp(log_sigma) * eps)
      return self._paint(now, code), code

    rows = noise.swapaxes(0, 1), codes.swapaxes(0, 1), kept
    body = jax.checkpoint(step) if self.remat else step
    start = self._start(len(noise))
    now, painted = scans.scan(body, start, rows, convolutional=True)
    return now["canvas"], painted.swapaxes(0, 1)

  def film(
    self,
    codes: jax.Array,
    x: jax.Array | None = None,
    noise: jax.Array | None = None,
    *,
    train: bool = False,
  ) -> Film:
    """The canvas after every step; there are no windows.

    Args:
      codes: `[B, T, h, w, Z]`, to paint; not used where `x` is given.
      x: images whose codes are inferred instead.
      noise: of that inference.
      train: plays no part.
    """
    del train

    def paint(now: Any, row: jax.Array):
      if x is None:
        now = self._paint(now, row)
      else:
        now = self._infer(now, x, row)[0]
      return now, now["canvas"]

    rows = codes if x is None else noise
    assert rows is not None
    first = self._start(len(rows))["canvas"][:, None]
    _, canvas = self._run(paint, len(rows), rows)
    return Film(jnp.concatenate([first, canvas.swapaxes(0, 1)], 1), None, None)

  def _run(self, step: Any, count: int, rows: jax.Array) -> Any:
    """All steps of `[B, T, ...]`, as one scan."""
    body = jax.checkpoint(step) if self.remat else step
    start = self._start(count)
    return scans.scan(body, start, rows.swapaxes(0, 1), convolutional=True)

  def _start(self, rows: int) -> Weights:
    """States, cells and canvas before the first step."""
    height, width, _ = self.image_shape
    half = (rows, height // 2, width // 2, self.hidden)
    first = {
      name: jnp.broadcast_to(
        self.starts[f"{name}_start"].reshape(1, 1, 1, -1), half
      ).astype(self.dtype)
      for name in ("encoder", "decoder")
    }
    cells = {f"{name}_cell": jnp.zeros(half, self.dtype) for name in first}
    start = self.starts["canvas_start"].reshape(1, 1, 1, -1)
    canvas = jnp.broadcast_to(start, (rows, *self.image_shape))
    return {**first, **cells, "canvas": canvas}

  def _infer(self, now: Weights, x: jax.Array, eps: jax.Array):
    """One step of inference and painting: state, code, four laws."""
    error = x - nn.sigmoid(now["canvas"])
    seen = self._apply(self.read, jnp.concatenate([x, error], -1), 2)
    now = now | self._step(
      "encoder", now, jnp.concatenate([seen, now["decoder"]], -1)
    )
    mean, log_sigma = self._law(self.posterior, now["encoder"])
    ours = self._law(self.prior, now["decoder"])
    code = mean + jnp.exp(log_sigma) * eps
    return self._paint(now, code), code, (mean, log_sigma, *ours)

  def _paint(self, now: Weights, code: jax.Array) -> Weights:
    """One stroke on the canvas."""
    seen = self._apply(self.look, now["canvas"], 2)
    inputs = jnp.concatenate([code.astype(self.dtype), seen], -1)
    now = now | self._step("decoder", now, inputs)
    stroke = self._apply(self.write, now["decoder"]).astype(jnp.float32)
    return now | {"canvas": now["canvas"] + shuffled(stroke)}

  def _step(self, name: str, now: Weights, inputs: jax.Array) -> Weights:
    """One step of a convolutional LSTM: its state and cell."""
    gates = self._apply(
      getattr(self, name), jnp.concatenate([inputs, now[name]], -1)
    )
    entry, forget, candidate, output = jnp.split(gates, 4, -1)
    cell = nn.sigmoid(forget) * now[f"{name}_cell"]
    cell = cell + nn.sigmoid(entry) * jnp.tanh(candidate)
    return {
      name: nn.sigmoid(output) * jnp.tanh(cell),
      f"{name}_cell": cell,
    }

  def _law(
    self, weights: Weights, state: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and log-deviation of a step's code, float32."""
    out = self._apply(weights, state).astype(jnp.float32)
    mean, log_sigma = jnp.split(out, 2, -1)
    return mean, jnp.clip(log_sigma, -_LIMIT, _LIMIT)

  def _apply(
    self, weights: Weights, x: jax.Array, stride: int = 1
  ) -> jax.Array:
    """A convolution."""
    kernel = weights["kernel"].astype(self.dtype)
    out = lax.conv_general_dilated(
      x.astype(self.dtype),
      kernel,
      (stride, stride),
      "SAME",
      dimension_numbers=_LAYOUT,
    )
    return out + weights["bias"].astype(self.dtype).reshape(1, 1, 1, -1)


def shuffled(x: jax.Array) -> jax.Array:
  """Depth to space by 2: `[B, h, w, 4C]` to `[B, 2h, 2w, C]`."""
  chex.assert_rank(x, 4)
  b, h, w, c = x.shape
  x = x.reshape(b, h, w, 2, 2, c // 4)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)
