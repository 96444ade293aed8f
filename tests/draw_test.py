"""Laws of DRAW (draw.md 2 and 8), against loops in NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from genlat.nets.draw import Draw as Network
from genlat.nets.draw_convolutions import ReadNet, WriteNet

DREAM = {"train": False, "method": "dream"}
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
  # A stroke brightens and darkens; features are rectified.
  assert float(stroke.min()) < 0 < float(stroke.max())
  assert float(features.min()) == 0 < float(features.max())


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
  # The first place it reads is the start's, the second what step 1 led to.
  for step, state in enumerate((loop.p["decoder_start"], hd)):
    gx, _, log_s2, _, _ = loop.affine("read_window", state)
    got = copied.seen.x[0, step], copied.seen.log_variance[0, step]
    np.testing.assert_allclose(got, (3 * (gx + 1), log_s2), rtol=1e-3)
  assert copied.seen.x.shape == (ROWS, net.steps)
  bare = network(read=0, write=0)
  film = bare.apply(loud(bare), noise, method="film")
  assert film.written is None and film.seen is None


def test_dreams_paint_the_codes_kept_and_noise_for_the_others():
  net = network()
  variables = loud(net)
  x, noise = given(net)
  steps = net.apply(variables, x, noise)
  kept = jnp.array([True, False, True, False])
  dream = jax.jit(
    lambda k: net.apply(variables, noise, steps.codes, k, **DREAM)
  )
  canvas, codes = dream(kept)
  np.testing.assert_array_equal(codes[:, ::2], steps.codes[:, ::2])
  np.testing.assert_array_equal(codes[:, 1::2], noise[:, 1::2])
  wanted = net.apply(variables, codes, method="generate")
  np.testing.assert_allclose(canvas, wanted, rtol=1e-4, atol=1e-5)
  whole, _ = dream(jnp.ones(4, bool))
  np.testing.assert_allclose(whole, steps.canvas, rtol=1e-4, atol=1e-5)


def test_half_precision_serves_the_states_and_not_the_canvas():
  half, net = network(dtype=jnp.bfloat16), network()
  variables = loud(net)
  x, noise = given(net)
  got, wanted = (jax.jit(n.apply)(variables, x, noise) for n in (half, net))
  # The maps that lead to windows, codes and canvas are float32, too.
  text = str(jax.make_jaxpr(half.apply)(variables, x, noise))
  products = [line for line in text.splitlines() if "dot_general" in line]
  narrow = {f"bf16[{ROWS},{4 * half.hidden}]"}
  assert products and narrow == {
    word.split(":")[1]
    for line in products
    for word in line.split()
    if ":bf16[" in word
  }
  for a, b in zip(got[:4], wanted[:4], strict=True):
    assert a.dtype == jnp.float32
    assert 0 < np.abs(np.asarray(a - b)).max() < 0.1 * np.abs(b).max()
  film = jax.jit(lambda v: half.apply(v, noise, x, noise, method="film"))
  copied = film(variables)
  assert copied.canvas.dtype == copied.written.x.dtype == jnp.float32
  np.testing.assert_allclose(copied.canvas[:, -1], got.canvas, atol=0.05)
  np.testing.assert_array_equal(
    copied.canvas[1, 0], variables["params"]["canvas_start"]
  )
