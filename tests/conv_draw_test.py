"""Laws of convolutional DRAW with a learned prior (draw.md 6.2, 8.14)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from genlat.losses import elbo
from genlat.nets import conv_draw
from tests import shipped

ROWS, SHAPE, STEPS = 2, (6, 4, 2), 3


def network(**changes: Any) -> conv_draw.ConvDraw:
  given: dict[str, Any] = {
    "image_shape": SHAPE,
    "steps": STEPS,
    "hidden": 3,
    "latent": 2,
    "dtype": jnp.float32,
    "remat": False,
  }
  return conv_draw.ConvDraw(**{**given, **changes})


NET = network()


@functools.cache
def loud() -> Any:
  """Weights far from the start's, so that every term counts."""
  x, noise = jnp.zeros((1, *SHAPE)), jnp.zeros((1, STEPS, *NET.code_shape))
  shapes = jax.eval_shape(NET.init, jax.random.key(0), x, noise)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype), shapes
  )


@functools.cache
def given() -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(1)
  x = rng.uniform(size=(ROWS, *SHAPE)).astype(np.float32)
  noise = rng.normal(size=(ROWS, STEPS, *NET.code_shape)).astype(np.float32)
  return x, noise


infer = jax.jit(lambda variables, x, noise: NET.apply(variables, x, noise))


def sigmoid(a: np.ndarray) -> np.ndarray:
  return 1.0 / (1.0 + np.exp(-a))


class _Loop:
  """The recurrence of one image in NumPy and SciPy."""

  def __init__(self, variables: Any) -> None:
    self.p = {
      k: np.asarray(v, np.float64) for k, v in variables["params"].items()
    }

  def conv(self, name: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
    kernel = self.p[f"{name}_kernel"]
    height, width, _ = x.shape
    out = np.zeros((height, width, kernel.shape[-1]))
    if stride == 2:
      # SAME with even sides and stride 2 pads 1 before and 2 after.
      padded = np.pad(x, ((1, 2), (1, 2), (0, 0)))
    else:
      padded = np.pad(x, ((2, 2), (2, 2), (0, 0)))
    rows = []
    for m in range(kernel.shape[-1]):
      total = sum(
        signal.correlate2d(padded[..., c], kernel[..., c, m], "valid")
        for c in range(x.shape[-1])
      )
      rows.append(total[::stride, ::stride])
    out = np.stack(rows, -1)
    return out + self.p[f"{name}_bias"]

  def cell(self, name: str, x: np.ndarray, h: np.ndarray, c: np.ndarray):
    gates = self.conv(name, np.concatenate([x, h], -1))
    i, f, g, o = np.split(gates, 4, -1)
    c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c

  def law(self, name: str, h: np.ndarray):
    mean, log_sigma = np.split(self.conv(name, h), 2, -1)
    return mean, np.clip(log_sigma, -5, 5)

  def infer(self, x: np.ndarray, noise: np.ndarray):
    half = (SHAPE[0] // 2, SHAPE[1] // 2, NET.hidden)
    he = np.broadcast_to(self.p["encoder_start"], half)
    hd = np.broadcast_to(self.p["decoder_start"], half)
    ce = cd = np.zeros(half)
    canvas = np.broadcast_to(self.p["canvas_start"], SHAPE)
    found = []
    for eps in noise:
      error = x - sigmoid(canvas)
      seen = self.conv("read", np.concatenate([x, error], -1), 2)
      prior = self.law("prior", hd)
      he, ce = self.cell("encoder", np.concatenate([seen, hd], -1), he, ce)
      mean, log_sigma = self.law("posterior", he)
      z = mean + np.exp(log_sigma) * eps
      look = self.conv("look", canvas, 2)
      hd, cd = self.cell("decoder", np.concatenate([z, look], -1), hd, cd)
      out, stroke = self.conv("write", hd), np.zeros(SHAPE)
      c = SHAPE[-1]
      for a in range(2):
        for b in range(2):
          at = (2 * a + b) * c
          stroke[a::2, b::2] = out[..., at : at + c]
      canvas = canvas + stroke
      found.append((z, mean, log_sigma, *prior))
    return canvas, *(np.stack(v) for v in zip(*found, strict=True))


def test_steps_are_those_of_a_loop():
  x, noise = given()
  got = infer(loud(), x, noise)
  loop = _Loop(loud())
  for row in range(ROWS):
    wanted = loop.infer(x[row], noise[row])
    for a, b in zip(got, wanted, strict=True):
      np.testing.assert_allclose(a[row], b, rtol=2e-4, atol=2e-5)


def test_the_prior_of_a_step_knows_the_codes_before_it_and_not_the_image():
  x, noise = given()
  a, b = infer(loud(), x, noise), infer(loud(), 1.0 - x, noise)
  np.testing.assert_array_equal(a.prior_mean[:, 0], b.prior_mean[:, 0])
  assert not np.allclose(a.prior_mean[:, 1], b.prior_mean[:, 1])
  apply = jax.jit(functools.partial(NET.apply, train=False, method="dream"))
  none = jnp.zeros(STEPS, bool)
  # With all codes kept, the prior's are not drawn at all.
  canvas, kept = apply(loud(), noise, a.codes, ~none)
  np.testing.assert_array_equal(kept, a.codes)
  np.testing.assert_allclose(canvas, a.canvas, rtol=1e-4, atol=1e-5)
  # With the first kept, the second is drawn from the prior given it.
  _, one = apply(loud(), noise, a.codes, jnp.arange(STEPS) < 1)
  np.testing.assert_array_equal(one[:, 0], a.codes[:, 0])
  wanted = a.prior_mean[:, 1] + np.exp(a.prior_log_sigma[:, 1]) * noise[:, 1]
  np.testing.assert_allclose(one[:, 1], wanted, rtol=1e-4, atol=1e-5)


def test_noise_of_a_step_reaches_that_step_and_those_after():
  x, noise = given()
  moved = noise.copy()
  moved[:, 1] += 1.0
  a, b = infer(loud(), x, noise), infer(loud(), x, moved)
  np.testing.assert_array_equal(a.codes[:, 0], b.codes[:, 0])
  assert (np.asarray(a.codes[:, 1:]) != np.asarray(b.codes[:, 1:])).all()
  for one, other in zip(a[2:], b[2:], strict=True):
    np.testing.assert_array_equal(one[:, :2], other[:, :2])
    assert not np.allclose(one[:, 2], other[:, 2])
  assert not np.allclose(a.canvas, b.canvas)


def test_codes_paint_the_canvas_of_inference_and_films_end_there():
  x, noise = given()
  steps = infer(loud(), x, noise)
  canvas = NET.apply(loud(), steps.codes, method="generate")
  np.testing.assert_allclose(canvas, steps.canvas, rtol=1e-4, atol=1e-5)
  film = NET.apply(loud(), noise, x, noise, method="film")
  assert film.canvas.shape == (ROWS, STEPS + 1, *SHAPE)
  assert film.written is None
  np.testing.assert_allclose(
    film.canvas[:, -1], steps.canvas, rtol=1e-4, atol=1e-5
  )


def test_remat_changes_no_gradient():
  x, noise = given()
  slopes = []
  for net in (NET, network(remat=True)):
    loss = lambda v, n=net: jnp.square(n.apply(v, x, noise).canvas).mean()
    slopes.append(jax.jit(jax.grad(loss))(loud()))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), *slopes
  )


def test_keys_that_it_does_not_have_are_refused():
  config = shipped.config("conv_draw_b_mnist", "smoke")
  config.draw.error_image = False
  with pytest.raises(ValueError, match="has no config.draw.error_image"):
    shipped.build(config)


def test_depth_becomes_space():
  x = jnp.arange(16.0).reshape(1, 1, 2, 8)
  got = conv_draw.shuffled(x)
  assert got.shape == (1, 2, 4, 2)
  np.testing.assert_array_equal(got[0, 0, :, 0], [0, 2, 8, 10])
  np.testing.assert_array_equal(got[0, 1, :, 1], [5, 7, 13, 15])


def test_the_kl_to_a_prior_is_that_of_quadrature_and_zero_for_equals():
  mean, log_sigma, other, wide = 0.3, -0.4, -0.5, 0.2
  z = np.linspace(-12, 12, 200_001)
  log_n = lambda m, s: (
    -0.5 * ((z - m) / np.exp(s)) ** 2 - s - 0.5 * np.log(2 * np.pi)
  )
  q = np.exp(log_n(mean, log_sigma))
  gap = log_n(mean, log_sigma) - log_n(other, wide)
  wanted = np.trapezoid(q * gap, z)
  full = lambda v: jnp.full((2, 3, 4, 5, 6), v)
  got = elbo.kl_of_steps(*map(full, (mean, log_sigma, other, wide)))
  assert got.shape == (2, 3)
  np.testing.assert_allclose(got, 120 * wanted, rtol=1e-4)
  same = elbo.kl_of_steps(*map(full, (mean, log_sigma, mean, log_sigma)))
  np.testing.assert_allclose(same, 0.0, atol=1e-5)


@functools.cache
def method():
  config = shipped.config("conv_draw_b_mnist", "smoke")
  made = shipped.build(config)
  batch = shipped.batch(config, 4)
  batch["image"] = jnp.round(batch["image"])
  return made, made.init(jax.random.key(0), {}), batch


def test_log_weights_are_those_of_the_learned_prior():
  made, state, batch = method()
  params = jax.tree.map(lambda a: a + 0.05, state.params)
  key = jax.random.key(2)
  got = jax.jit(made.log_weights)(state.replace(params=params), batch, key)
  noise = made._noise(key, 4)
  steps, rec, kl = jax.jit(made.terms)(params, {}, batch["image"], noise)
  _, z, mean, log_sigma, p_mean, p_log = (
    np.asarray(a, np.float64) for a in steps
  )
  elements = lambda m, s: -0.5 * ((z - m) / np.exp(s)) ** 2 - s
  gap = elements(p_mean, p_log) - elements(mean, log_sigma)
  wanted = gap.sum((1, 2, 3, 4)) - np.asarray(rec)
  np.testing.assert_allclose(got, wanted, rtol=1e-4)
  assert float(kl.min()) >= 0


def test_kept_codes_cost_their_kl_and_all_of_them_remake_the_image():
  made, state, batch = method()
  params = jax.tree.map(lambda a: a + 0.05, state.params)
  state, key = state.replace(params=params), jax.random.key(0)
  lossy = jax.jit(made.lossy)
  rates = [lossy(state, batch["image"], key, jnp.int32(k))[1] for k in range(3)]
  np.testing.assert_array_equal(rates[0], 0.0)
  assert (rates[1] > 0).all() and (rates[2] > rates[1]).all()
  whole, rate = lossy(state, batch["image"], key, jnp.int32(2))
  first, _ = jax.random.split(key)
  noise = made._noise(first, 4)
  steps, _, kl = jax.jit(made.terms)(params, {}, batch["image"], noise)
  np.testing.assert_allclose(rate, kl.sum(1), rtol=1e-5)
  wanted = made.observation.image(steps.canvas)
  np.testing.assert_allclose(whole, wanted, rtol=1e-4, atol=1e-5)


def test_odd_sides_are_refused():
  config = shipped.config("conv_draw_b_mnist")
  config.data.image_size = 27
  with pytest.raises(ValueError, match="even sides; got 27 x 27"):
    shipped.build(config)
