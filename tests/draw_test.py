"""Laws of DRAW (draw.md 2 and 8), against loops in NumPy."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from genlat import sharding
from genlat.losses import elbo
from genlat.metrics.likelihood import importance_bound
from genlat.nets.draw import Draw as Network
from genlat.nets.draw_convolutions import ReadNet, WriteNet
from tests import shipped

ROWS = 3
SHAPE = (6, 5, 2)


def network(**changes: Any) -> Network:
  """A small network; not square, two channels."""
  given: dict[str, Any] = {
    "image_shape": SHAPE,
    "steps": 4,
    "hidden": 7,
    "latent": 3,
    "read": 3,
    "write": 2,
    "error_image": True,
    "learned_start": True,
    "learned_cell": True,
    "dtype": jnp.float32,
    "remat": True,
    "unroll": 1,
  }
  return Network(**{**given, **changes})


def loud(net: Network, seed: int = 0) -> Any:
  """Weights far from the start's, so that every term counts."""
  x = jnp.zeros((1, *net.image_shape))
  noise = jnp.zeros((1, net.steps, net.latent))
  shapes = jax.eval_shape(net.init, jax.random.key(0), x, noise)
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), shapes
  )


def given(net: Network, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(seed)
  x = rng.uniform(size=(ROWS, *net.image_shape)).astype(np.float32)
  noise = rng.normal(size=(ROWS, net.steps, net.latent)).astype(np.float32)
  return x, noise


def sigmoid(a: np.ndarray) -> np.ndarray:
  return 1.0 / (1.0 + np.exp(-a))


class _Loop:
  """DRAW of one image in NumPy, in the words of the paper."""

  def __init__(self, net: Network, variables: Any) -> None:
    self.net = net
    self.p = {
      k: np.asarray(v, np.float64) for k, v in variables["params"].items()
    }

  def affine(self, name: str, v: np.ndarray) -> np.ndarray:
    return v @ self.p[f"{name}_kernel"] + self.p[f"{name}_bias"]

  def cell(self, name: str, x: np.ndarray, h: np.ndarray, c: np.ndarray):
    i, f, g, o = np.split(self.affine(name, np.concatenate([x, h])), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c

  def banks(self, name: str, n: int, state: np.ndarray):
    height, width, _ = self.net.image_shape
    gx, gy, log_s2, log_delta, log_gamma = self.affine(name, state)
    gx, gy = (width + 1) / 2 * (gx + 1), (height + 1) / 2 * (gy + 1)
    delta = (max(height, width) - 1) / (n - 1) * np.exp(log_delta)

    def bank(centre: float, size: int) -> np.ndarray:
      rows = np.zeros((n, size))
      for i in range(1, n + 1):
        mu = centre + (i - n / 2 - 0.5) * delta
        for a in range(1, size + 1):
          rows[i - 1, a - 1] = np.exp(-((a - mu) ** 2) / (2 * np.exp(log_s2)))
        rows[i - 1] /= rows[i - 1].sum()
      return rows

    return bank(gy, height), bank(gx, width), np.exp(log_gamma)

  def start(self):
    net, zeros = self.net, np.zeros(self.net.hidden)
    at = lambda name, other: self.p.get(name, other)
    return (
      at("encoder_start", zeros),
      at("encoder_cell", zeros),
      at("decoder_start", zeros),
      at("decoder_cell", zeros),
      at("canvas_start", np.zeros(net.image_shape)),
    )

  def paint(self, z: np.ndarray, h: np.ndarray, c: np.ndarray):
    net = self.net
    h, c = self.cell("decoder", z, h, c)
    w = self.affine("patch", h)
    if not net.write:
      return h, c, w.reshape(net.image_shape)
    w = w.reshape(net.write, net.write, -1)
    fy, fx, gamma = self.banks("write_window", net.write, h)
    channels = range(net.image_shape[2])
    stroke = np.stack([fy.T @ w[..., k] @ fx / gamma for k in channels], -1)
    return h, c, stroke

  def infer(self, x: np.ndarray, noise: np.ndarray):
    net = self.net
    he, ce, hd, cd, canvas = self.start()
    codes, means, sigmas = [], [], []
    for eps in noise:
      images = [x, x - sigmoid(canvas)] if net.error_image else [x]
      seen = np.concatenate(images, -1)
      if net.read:
        fy, fx, gamma = self.banks("read_window", net.read, hd)
        channels = range(seen.shape[-1])
        seen = np.stack(
          [gamma * fy @ seen[..., k] @ fx.T for k in channels], -1
        )
      r = np.concatenate([seen.reshape(-1), hd])
      he, ce = self.cell("encoder", r, he, ce)
      mean, log_sigma = np.split(self.affine("posterior", he), 2)
      z = mean + np.exp(log_sigma) * eps
      hd, cd, stroke = self.paint(z, hd, cd)
      canvas = canvas + stroke
      codes.append(z)
      means.append(mean)
      sigmas.append(log_sigma)
    return canvas, np.stack(codes), np.stack(means), np.stack(sigmas)


class Flat(nn.Module):
  """No network at all, in a network's place: it only flattens."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Flattens."""
    self.param("unused", nn.initializers.zeros_init(), ())
    return x.reshape(x.shape[0], -1)


class Stroke(nn.Module):
  """The affine map of plain DRAW, in a network's place."""

  @nn.compact
  def __call__(self, state: jax.Array) -> jax.Array:
    """Maps a state to a stroke."""
    h, w, c = SHAPE
    return nn.Dense(h * w * c, name="dense")(state).reshape(-1, h, w, c)


def test_networks_that_do_nothing_leave_plain_draw():
  plain = network(read=0, write=0)
  other = network(read=0, write=0, read_net=Flat, write_net=Stroke)
  variables = loud(plain)
  p = dict(variables["params"])
  p["write_net"] = {
    "dense": {"kernel": p.pop("patch_kernel"), "bias": p.pop("patch_bias")}
  }
  p["read_net"] = {"unused": jnp.zeros(())}
  x, noise = given(plain)
  a = jax.jit(plain.apply)(variables, x, noise)
  b = jax.jit(other.apply)({"params": p}, x, noise)
  jax.tree.map(
    lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-4, atol=1e-5), a, b
  )


@pytest.mark.parametrize(
  ("side", "whole", "feature_shape"),
  [(28, True, (7, 7)), (12, False, (6, 6)), (5, False, (3, 3))],
)
def test_convolutions_have_the_sizes_of_the_sheet(side, whole, feature_shape):
  eye = ReadNet(channels=(2, 3), whole=whole, dtype=jnp.float32)
  hand = WriteNet(
    shape=(side, side, 2), channels=(2, 3), whole=whole, dtype=jnp.float32
  )
  x, state = jnp.ones((2, side, side, 2)), jnp.ones((2, 5))
  features, _ = eye.init_with_output(jax.random.key(0), x)
  assert features.shape == (2, 3 * np.prod(feature_shape))
  stroke, variables = hand.init_with_output(jax.random.key(0), state)
  assert stroke.shape == (2, side, side, 2)
  dense = variables["params"]["dense"]["kernel"]
  assert dense.shape == (5, 3 * np.prod(feature_shape))
  assert float(jnp.abs(stroke).max()) < 0.3  # the canvas begins as it was


VARIANTS = {
  "attention": {},
  "none": {"read": 0, "write": 0, "remat": False},
  "read alone": {"write": 0, "unroll": 2},
  "write alone, no error": {"read": 0, "error_image": False},
  "from zeros": {"learned_start": False, "learned_cell": False},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_are_those_of_a_loop(name):
  net = network(**VARIANTS[name])
  variables = loud(net)
  x, noise = given(net)
  got = jax.jit(net.apply)(variables, x, noise)
  loop = _Loop(net, variables)
  for row in range(ROWS):
    wanted = loop.infer(x[row], noise[row])
    for a, b in zip(got[:4], wanted, strict=True):
      np.testing.assert_allclose(a[row], b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["attention", "none"])
def test_generation_paints_the_codes_of_inference(name):
  net = network(**VARIANTS[name])
  variables = loud(net)
  x, noise = given(net)
  steps = net.apply(variables, x, noise)
  canvas = net.apply(variables, steps.codes, method="generate")
  np.testing.assert_allclose(canvas, steps.canvas, rtol=1e-4, atol=1e-5)


def test_remat_and_unrolling_change_no_gradient():
  x, noise = given(network())

  def slopes(net: Network) -> Any:
    loss = lambda v: jnp.square(net.apply(v, x, noise).canvas).mean()
    return jax.jit(jax.grad(loss))(loud(net))

  plain = slopes(network(remat=False))
  for other in (network(), network(unroll=4)):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
      plain,
      slopes(other),
    )


def test_noise_of_a_step_reaches_that_step_and_those_after():
  net = network()
  variables = loud(net)
  x, noise = given(net)
  moved = noise.copy()
  moved[:, 2] += 1.0
  a, b = (net.apply(variables, x, n) for n in (noise, moved))
  np.testing.assert_array_equal(a.codes[:, :2], b.codes[:, :2])
  np.testing.assert_array_equal(a.mean[:, :3], b.mean[:, :3])
  assert (np.asarray(a.codes[:, 2:]) != np.asarray(b.codes[:, 2:])).all()
  one, other = (
    net.apply(variables, s.codes, method="film").canvas for s in (a, b)
  )
  np.testing.assert_array_equal(one[:, :3], other[:, :3])
  assert not np.array_equal(one[:, 3], other[:, 3])


def test_rows_are_alone():
  net = network()
  variables = loud(net)
  x, noise = given(net)
  a = net.apply(variables, x, noise)
  b = net.apply(variables, x[::-1], noise[::-1])
  jax.tree.map(
    lambda p, q: np.testing.assert_allclose(p, q[::-1], rtol=1e-5, atol=1e-6),
    a,
    b,
  )


def test_films_begin_at_the_start_and_end_at_the_canvas():
  net = network()
  variables = loud(net)
  x, noise = given(net)
  steps = net.apply(variables, x, noise)
  copied = net.apply(variables, noise, x, noise, method="film")
  assert copied.canvas.shape == (ROWS, net.steps + 1, *SHAPE)
  first = np.asarray(variables["params"]["canvas_start"])
  np.testing.assert_allclose(copied.canvas[1, 0], first, rtol=1e-6)
  np.testing.assert_allclose(
    copied.canvas[:, -1], steps.canvas, rtol=1e-4, atol=1e-5
  )
  loop = _Loop(net, variables)
  _, _, hd, cd, _ = loop.start()
  hd, _, _ = loop.paint(np.asarray(steps.codes[0, 0], np.float64), hd, cd)
  gx, _, log_s2, _, _ = loop.affine("write_window", hd)
  np.testing.assert_allclose(copied.written.x[0, 0], 3 * (gx + 1), rtol=1e-4)
  np.testing.assert_allclose(
    copied.written.log_variance[0, 0], log_s2, rtol=1e-3, atol=1e-5
  )
  assert copied.seen.x.shape == (ROWS, net.steps)
  bare = network(read=0, write=0)
  film = bare.apply(loud(bare), noise, method="film")
  assert film.written is None and film.seen is None


COUNTS = {
  "draw_mnist": ("", (28, 28, 1), 960_763),
  "draw_noattention_mnist": ("", (28, 28, 1), 2_750_696),
  "draw_mnist of SVHN": ("", (54, 54, 3), 11_295_790),
  "draw_cifar10": ("", (32, 32, 3), 2_681_557),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_of_table_3(name):
  words, shape, count = COUNTS[name]
  config = shipped.config(name.split()[0], words)
  if "SVHN" in name:
    config.draw.hidden = 800
    config.draw.read = config.draw.write = 12
  from genlat import methods

  made = methods.build(config, shape)
  state = jax.eval_shape(made.init, jax.random.key(0), {})
  assert sum(x.size for x in jax.tree.leaves(state.params)) == count


def test_the_kl_of_a_step_has_the_golden_values():
  d = 100
  for mean, sigma, wanted in (
    (0.0, 1.0, 0.0),
    (1.0, 1.0, 50.0),
    (0.0, 2.0, 80.68528194),
    (0.0, 0.5, 31.81471806),
  ):
    got = elbo.kl_of_steps(
      jnp.full((2, 3, d), mean), jnp.full((2, 3, d), np.log(sigma))
    )
    assert got.shape == (2, 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@functools.cache
def method(*changes: tuple[str, Any]):
  config = shipped.config("draw_fast_mnist", "smoke")
  for key, value in changes:
    config.update_from_flattened_dict({key: value})
  made = shipped.build(config)
  state = made.init(jax.random.key(3), {})
  batch = shipped.batch(config, 4)
  return made, state, batch | {"image": jnp.round(batch["image"])}


def test_without_a_write_the_canvas_stays_and_the_posterior_wants_the_prior():
  made, state, batch = method()
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype),
    state.params,
  )
  net = params["draw"]
  for name in ("patch_kernel", "patch_bias", "canvas_start"):
    net[name] = jnp.zeros_like(net[name])
  noise = made._noise(jax.random.key(0), 4)
  data = {"image": batch["image"], "noise": noise}
  loss = lambda p: made.loss(state, p, data)[0]
  kl = lambda p: made.terms(p, {}, data["image"], noise)[2].sum(1).mean()
  value, slope = jax.jit(jax.value_and_grad(loss))(params)
  size = np.prod(batch["image"].shape[1:])
  np.testing.assert_allclose(value - kl(params), size * np.log(2), rtol=1e-5)
  alone = jax.jit(jax.grad(kl))(params)
  for name in ("posterior_kernel", "posterior_bias", "encoder_kernel"):
    np.testing.assert_allclose(
      slope["draw"][name], alone["draw"][name], rtol=1e-4, atol=1e-6
    )


def test_the_start_s_bound_is_ln_2_a_pixel():
  made, state, batch = method()
  got = made.eval_step(state, batch, jax.random.key(0))
  size = np.prod(batch["image"].shape[1:])
  np.testing.assert_allclose(got["loss"], size * np.log(2), rtol=0.01)
  steps = [got[f"kl_step/{t:02d}"] for t in (1, 2, 3)]
  np.testing.assert_allclose(sum(steps), got["kl"], rtol=1e-5)
  np.testing.assert_allclose(
    got["negative_elbo"], got["reconstruction"] + got["kl"], rtol=1e-6
  )


def test_weights_of_steps_enter_the_loss_alone():
  made, state, batch = method(
    ("draw.kl_weights", (1.0, 0.0, 2.0)), ("draw.kl_weight", 0.5)
  )
  assert made.weights == (0.5, 0.0, 1.0)
  params = jax.tree.map(lambda a: a + 0.1, state.params)
  got = made.eval_step(state.replace(params=params), batch, jax.random.key(0))
  kl = [np.asarray(got[f"kl_step/{t:02d}"]) for t in (1, 2, 3)]
  weighted = 0.5 * kl[0] + kl[2]
  np.testing.assert_allclose(
    got["loss"], got["reconstruction"] + weighted, rtol=1e-5
  )
  np.testing.assert_allclose(got["kl"], sum(kl), rtol=1e-5)
  assert min(map(np.min, kl)) > 0


def test_one_step_without_attention_is_a_variational_autoencoder():
  made, state, batch = method(
    ("draw.steps", 1), ("draw.read", 0), ("draw.write", 0)
  )
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype),
    state.params,
  )
  p = {k: np.asarray(v, np.float64) for k, v in params["draw"].items()}
  noise = made._noise(jax.random.key(4), 4)
  x = np.asarray(batch["image"], np.float64)
  size = x[0].size
  # Encoder: one gated layer of image, error image and biases.
  error = x - sigmoid(p["canvas_start"])
  seen = np.concatenate([x, error], -1).reshape(4, -1)
  told = np.broadcast_to(p["decoder_start"], (4, len(p["decoder_start"])))
  own = np.broadcast_to(p["encoder_start"], told.shape)
  gates = (
    np.concatenate([seen, told, own], 1) @ p["encoder_kernel"]
    + p["encoder_bias"]
  )
  i, _, g, o = np.split(gates, 4, 1)
  hidden = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
  out = hidden @ p["posterior_kernel"] + p["posterior_bias"]
  mean, log_sigma = np.split(out, 2, 1)
  z = mean + np.exp(log_sigma) * np.asarray(noise[:, 0])
  # Decoder: one gated layer and a linear one.
  gates = np.concatenate([z, told], 1) @ p["decoder_kernel"] + p["decoder_bias"]
  i, _, g, o = np.split(gates, 4, 1)
  hidden = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
  logits = hidden @ p["patch_kernel"] + p["patch_bias"]
  logits += p["canvas_start"].reshape(-1)
  flat = x.reshape(4, size)
  rec = (np.log1p(np.exp(logits)) - flat * logits).sum(1)
  kl = 0.5 * (mean**2 + np.exp(2 * log_sigma) - 2 * log_sigma - 1).sum(1)
  data = {"image": batch["image"], "noise": noise}
  loss, (metrics, _) = made.loss(state, params, data)
  np.testing.assert_allclose(loss, (rec + kl).mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics["kl"], kl.mean(), rtol=1e-4)


def test_log_weights_are_the_densities_ratio_and_bound_the_bound():
  made, state, batch = method()
  params = jax.tree.map(lambda a: a + 0.05, state.params)
  state = state.replace(params=params)
  key = jax.random.key(7)
  got = made.log_weights(state, batch, key)
  noise = np.asarray(made._noise(key, 4), np.float64)
  steps, rec, _ = made.terms(params, {}, batch["image"], noise)
  z, log_sigma = (
    np.asarray(a, np.float64) for a in (steps.codes, steps.log_sigma)
  )
  log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum((1, 2))
  log_q = (-0.5 * noise**2 - log_sigma - 0.5 * np.log(2 * np.pi)).sum((1, 2))
  np.testing.assert_allclose(got, log_p - log_q - rec, rtol=1e-4)
  draw = sharding.compile(made.log_weights)
  many = np.stack([draw(state, batch, jax.random.key(i)) for i in range(30)])
  assert (importance_bound(many) >= many.mean(0) - 1e-3).all()


def test_a_short_training_lowers_the_bound():
  made, state, batch = method(("optimizer.lr", 1e-2))
  image = jnp.zeros_like(batch["image"]).at[::2, 2:5].set(1.0)
  batch = batch | {"image": image.at[1::2, :, 3:6].set(1.0)}
  step = sharding.compile(made.train_step)
  first = last = 0.0
  for i in range(40):
    state, metrics = step(state, batch, jax.random.key(i))
    last = float(metrics["loss"])
    first = first or last
  assert last < 0.5 * first


def test_a_long_drawing_has_a_finite_gradient():
  made, state, batch = method(("draw.steps", 64))
  step = sharding.compile(made.train_step)
  _, metrics = step(state, batch, jax.random.key(0))
  assert all(np.isfinite(v) for v in metrics.values())
  assert "kl_step/64" in metrics


@pytest.mark.parametrize(
  ("changes", "line"),
  [
    ({"draw.steps": 0}, r"config\.draw\.steps must be at least 1"),
    ({"draw.kl_weights": (1.0,)}, "must be 3 numbers"),
    ({"draw.kl_weight": -1.0}, "0 or more"),
    ({"likelihood.activation": "tanh"}, "to sigmoid"),
    ({"likelihood.name": "perceptual"}, "takes config.likelihood.name"),
    ({"model.dtype": "float16"}, r"config\.model\.dtype"),
  ],
)
def test_values_that_make_no_drawing_are_named(changes, line):
  config = shipped.config("draw_fast_mnist", "smoke")
  config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=line):
    shipped.build(config)
