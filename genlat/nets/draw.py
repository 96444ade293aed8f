"""The recurrent networks of DRAW: T steps that paint on one canvas.

Gregor et al. 2015 (arXiv:1502.04623), equations 3 to 8 and 18 to 29, with

  x^_t   = x - sigmoid(c_{t-1})
  r_t    = read(x, x^_t, h^dec_{t-1})
  h^enc  = LSTM(h^enc_{t-1}, [r_t, h^dec_{t-1}])
  z_t    ~ N(mu_t, sigma_t), both affine in h^enc_t
  h^dec  = LSTM(h^dec_{t-1}, z_t)
  c_t    = c_{t-1} + write(h^dec_t)

States and canvas start from learned biases. Reading and writing have a window
each, or see the whole image. The noise of all steps is an argument, so that a
step is a pure function; the steps are one scan whose body is recomputed on the
way back (`remat`), which is faster and five times leaner on CPU.

The paper leaves open what the cells start from: zeros, as most code has it, or
learned biases, too (`learned_cell`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat import scans
from genlat.nets import attention
from genlat.nets.recurrent import affine, lstm, lstm_bias, lstm_shapes

_HEAD = nn.initializers.normal(0.01)
_LSTM = nn.initializers.lecun_normal()


class Steps(NamedTuple):
  """What T steps of inference left behind.

  Codes have T steps of shape d, `[B, T, d]`; d may be several axes.

  Attributes:
    canvas: c_T, raw output, `[B, H, W, C]`.
    codes: z, `[B, T, d]`.
    mean: of the posterior of each step, `[B, T, d]`.
    log_sigma: of the posterior of each step, `[B, T, d]`.
    prior_mean: of the prior of each step given those before, likewise; None
      where it is N(0, I).
    prior_log_sigma: likewise.
  """

  canvas: jax.Array
  codes: jax.Array
  mean: jax.Array
  log_sigma: jax.Array
  prior_mean: jax.Array | None = None
  prior_log_sigma: jax.Array | None = None


class Film(NamedTuple):
  """A drawing, step by step.

  Attributes:
    canvas: c_0 ... c_T, raw, `[B, T + 1, H, W, C]`.
    written: windows of the strokes, each part `[B, T]`; None without.
    seen: windows of what was read, likewise; None without, or where nothing
      is read.
  """

  canvas: jax.Array
  written: attention.Window | None
  seen: attention.Window | None


class Start(NamedTuple):
  """What steps carry: states and cells `[B, h]`, canvas `[B, H, W, C]`."""

  encoder: jax.Array
  encoder_cell: jax.Array
  decoder: jax.Array
  decoder_cell: jax.Array
  canvas: jax.Array


class Draw(nn.Module):
  """DRAW's encoder and decoder.

  Attributes:
    image_shape: H, W, C.
    steps: T.
    hidden: h, units of each LSTM.
    latent: d, dimensions of a step's code.
    read: N, filters along an edge of the read window; 0 = the whole image.
    write: N of the write window; 0 = the whole image.
    error_image: whether x - sigmoid(c_{t-1}) is read beside x.
    learned_start: whether states and canvas start from learned biases, else
      from zeros.
    learned_cell: whether cells do.
    dtype: of the LSTMs; windows, codes and canvas, and the maps that lead to
      them, are float32.
    remat: whether a step is recomputed on the way back.
    unroll: steps of the scan that are unrolled.
    read_net: makes a network from what was read, `[B, N, N, C]` or the whole
      image, to features `[B, n]`; None = as it is.
    write_net: makes a network from the decoder's state `[B, h]` to a stroke,
      `[B, N, N, C]` or the whole image; None = an affine map.
  """

  image_shape: tuple[int, int, int]
  steps: int
  hidden: int
  latent: int
  read: int
  write: int
  error_image: bool
  learned_start: bool
  learned_cell: bool
  dtype: Any
  remat: bool
  unroll: int
  read_net: Callable[..., nn.Module] | None = None
  write_net: Callable[..., nn.Module] | None = None

  @property
  def code_shape(self) -> tuple[int, ...]:
    """Shape of a step's code: (d,)."""
    return (self.latent,)

  def setup(self) -> None:
    """Makes all weights; the steps are pure functions of them."""
    *sides, c = self.image_shape
    seen = (*((self.read,) * 2 if self.read else sides), c)
    seen = (*seen[:2], 2 * c if self.error_image else c)
    drawn = (*((self.write,) * 2 if self.write else sides), c)
    self.stroke_shape = drawn
    features = math.prod(seen)
    self.eye: Any = None
    if self.read_net is not None:
      example = jnp.zeros((1, *seen))
      self.eye, features = self._network("read_net", self.read_net, example)
    self.encoder = self._lstm("encoder", features + self.hidden)
    self.decoder = self._lstm("decoder", self.latent)
    self.posterior = self._affine("posterior", 2 * self.latent)
    if self.write_net is None:
      self.patch: Any = self._affine("patch", math.prod(drawn))
    else:
      example = jnp.zeros((1, self.hidden))
      self.patch, _ = self._network("write_net", self.write_net, example)
    count = attention.PARAMETERS
    self.read_window = self._affine("read_window", count) if self.read else {}
    self.write_window = (
      self._affine("write_window", count) if self.write else {}
    )
    zeros = nn.initializers.zeros_init()
    names: dict[str, tuple[int, ...]] = {}
    if self.learned_start:
      names |= {
        "encoder_start": (self.hidden,),
        "decoder_start": (self.hidden,),
        "canvas_start": self.image_shape,
      }
    if self.learned_cell:
      names |= {"encoder_cell": (self.hidden,), "decoder_cell": (self.hidden,)}
    self.starts = {k: self.param(k, zeros, v) for k, v in names.items()}

  def _network(
    self, name: str, make: Callable[..., nn.Module], example: jax.Array
  ) -> tuple[Any, int]:
    """A network's weights as one parameter, and the size of its output.

    Modules cannot be called inside of a scan's body; functions can.
    """
    net = make(parent=None)  # no part of this module
    weights = self.param(name, lambda key: net.init(key, example)["params"])
    out: Any = jax.eval_shape(net.apply, {"params": weights}, example)
    return weights, math.prod(out.shape[1:])

  def _lstm(self, name: str, inputs: int) -> dict[str, jax.Array]:
    shapes = lstm_shapes(inputs, self.hidden)
    return {
      "kernel": self.param(f"{name}_kernel", _LSTM, shapes["kernel"]),
      "bias": self.param(f"{name}_bias", lstm_bias, shapes["bias"]),
    }

  def _affine(self, name: str, outputs: int) -> dict[str, jax.Array]:
    zeros = nn.initializers.zeros_init()
    shape = (self.hidden, outputs)
    return {
      "kernel": self.param(f"{name}_kernel", _HEAD, shape),
      "bias": self.param(f"{name}_bias", zeros, (outputs,)),
    }

  def __call__(
    self, x: jax.Array, noise: jax.Array, *, train: bool = True
  ) -> Steps:
    """Infers codes of images, and paints.

    Args:
      x: `[B, H, W, C]` in [0, 1].
      noise: standard normal, `[B, T, d]`; zeros give the means' path.
      train: plays no part.
    """
    del train
    chex.assert_shape(x, (None, *self.image_shape))
    chex.assert_shape(noise, (x.shape[0], self.steps, self.latent))

    def step(now: Start, eps: jax.Array):
      now, code, mean, log_sigma, _ = self._infer(now, x, eps)
      return now, (code, mean, log_sigma)

    now, out = self._run(step, self._start(len(x)), noise.swapaxes(0, 1))
    codes, mean, log_sigma = (a.swapaxes(0, 1) for a in out)
    return Steps(now.canvas, codes, mean, log_sigma)

  def generate(self, codes: jax.Array, *, train: bool = False) -> jax.Array:
    """The canvas `[B, H, W, C]` that codes `[B, T, d]` paint."""
    del train
    chex.assert_shape(codes, (None, self.steps, self.latent))

    def step(now: Start, code: jax.Array):
      return self._paint(now, code)[0], None

    start = self._start(len(codes))
    return self._run(step, start, codes.swapaxes(0, 1))[0].canvas

  def dream(
    self, noise: jax.Array, codes: jax.Array, kept: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Paints given codes, and between them the prior's.

    Args:
      noise: standard normal, `[B, T, d]`; zeros give the prior's means.
      codes: `[B, T, d]`.
      kept: bool `[T]`, the steps whose code is given.
      train: plays no part.

    Returns:
      The canvas `[B, H, W, C]` and all codes that were painted, `[B, T, d]`.
    """
    codes = jnp.where(kept[None, :, None], codes, noise)
    return self.generate(codes, train=train), codes

  def film(
    self,
    codes: jax.Array,
    x: jax.Array | None = None,
    noise: jax.Array | None = None,
    *,
    train: bool = False,
  ) -> Film:
    """The canvas after every step, and where it was read and written.

    Args:
      codes: `[B, T, d]`, to paint; not used where `x` is given.
      x: images `[B, H, W, C]` whose codes are inferred instead.
      noise: `[B, T, d]`, of that inference.
      train: plays no part.
    """
    del train

    def paint(now: Start, code: jax.Array):
      now, written = self._paint(now, code)
      return now, (now.canvas, written, None)

    def copy(now: Start, eps: jax.Array):
      assert x is not None
      seen = self._window("read", now.decoder)
      now, _, _, _, written = self._infer(now, x, eps)
      return now, (now.canvas, written, seen)

    rows = codes if x is None else noise
    assert rows is not None
    start = self._start(len(rows))
    step = paint if x is None else copy
    _, (canvas, written, seen) = self._run(step, start, rows.swapaxes(0, 1))
    first = start.canvas[:, None]
    turn = lambda tree: jax.tree.map(lambda a: a.swapaxes(0, 1), tree)
    whole = jnp.concatenate([first, turn(canvas)], 1)
    return Film(whole, turn(written), turn(seen))

  def _run(self, step: Any, start: Start, rows: jax.Array) -> Any:
    """All steps, as one scan."""
    body = jax.checkpoint(step) if self.remat else step
    convolutional = not (self.read_net is self.write_net is None)
    if not scans.rolled(convolutional):
      return scans.scan(body, start, rows, convolutional=convolutional)
    return jax.lax.scan(body, start, rows, unroll=self.unroll)

  def _start(self, rows: int) -> Start:
    """States, cells and canvas before the first step."""

    def spread(name: str, shape: tuple[int, ...]) -> jax.Array:
      value = self.starts.get(name, jnp.zeros(shape))
      return jnp.broadcast_to(value[None], (rows, *shape))

    size = (self.hidden,)
    wide = lambda name: spread(name, size).astype(self.dtype)
    return Start(
      wide("encoder_start"),
      wide("encoder_cell"),
      wide("decoder_start"),
      wide("decoder_cell"),
      spread("canvas_start", self.image_shape),
    )

  def _infer(self, now: Start, x: jax.Array, eps: jax.Array):
    """One step of inference and painting."""
    seen = x
    if self.error_image:
      seen = jnp.concatenate([x, x - nn.sigmoid(now.canvas)], -1)
    place = self._window("read", now.decoder)
    if place is not None:
      seen = attention.read(seen, place, self.read)
    if self.read_net is not None:
      out: Any = self.read_net(parent=None).apply({"params": self.eye}, seen)
      seen = out
    seen = seen.reshape(len(x), -1).astype(self.dtype)
    encoder, encoder_cell = lstm(
      self.encoder,
      jnp.concatenate([seen, now.decoder], -1),
      now.encoder,
      now.encoder_cell,
    )
    out = affine(self.posterior, encoder.astype(jnp.float32))
    mean, log_sigma = jnp.split(out, 2, -1)
    code = mean + jnp.exp(log_sigma) * eps
    now = now._replace(encoder=encoder, encoder_cell=encoder_cell)
    now, written = self._paint(now, code)
    return now, code, mean, log_sigma, written

  def _paint(
    self, now: Start, code: jax.Array
  ) -> tuple[Start, attention.Window | None]:
    """One stroke on the canvas."""
    h, w, _ = self.image_shape
    decoder, cell = lstm(
      self.decoder, code.astype(self.dtype), now.decoder, now.decoder_cell
    )
    if self.write_net is None:
      patch = affine(self.patch, decoder.astype(jnp.float32))
    else:
      out: Any = self.write_net(parent=None).apply(
        {"params": self.patch}, decoder
      )
      patch = out
    stroke = patch.reshape(-1, *self.stroke_shape)
    place = self._window("write", decoder)
    if place is not None:
      stroke = attention.write(stroke, place, h, w)
    now = now._replace(
      decoder=decoder, decoder_cell=cell, canvas=now.canvas + stroke
    )
    return now, place

  def _window(self, what: str, state: jax.Array) -> attention.Window | None:
    """The window that a decoder's state asks for, or None without one."""
    n = getattr(self, what)
    if not n:
      return None
    raw = affine(getattr(self, f"{what}_window"), state.astype(jnp.float32))
    return attention.window(raw, *self.image_shape[:2], n)
