"""Laws of the classifier of glimpses."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from genlat import methods, sharding, trained
from genlat import state as states
from genlat.metrics.card import Card
from genlat.metrics.scores import METRICS
from genlat.metrics.task import Unavailable
from genlat.nets import attention
from genlat.nets.glimpses import Glimpses
from tests import shipped

NET = Glimpses(
  image_shape=(9, 7, 1),
  classes=4,
  steps=3,
  hidden=5,
  read=3,
  learned_start=True,
  learned_cell=True,
  dtype=jnp.float32,
  remat=False,
  unroll=1,
)


@pytest.fixture(scope="module")
def images():
  return jax.random.uniform(jax.random.key(1), (6, 9, 7, 1))


@pytest.fixture(scope="module")
def params(images):
  """Random weights, biases and starts: nothing hides behind a zero."""
  made = NET.init(jax.random.key(0), images)["params"]
  flat = traverse_util.flatten_dict(made)
  keys = jax.random.split(jax.random.key(2), len(flat))
  flat = {
    k: 0.5 * jax.random.normal(key, v.shape)
    for key, (k, v) in zip(keys, flat.items(), strict=True)
  }
  return traverse_util.unflatten_dict(flat)


def look(net, params, images):
  return jax.jit(lambda p, x: net.apply({"params": p}, x))(params, images)


def by_hand(params, images, steps):
  """The equations once more, in NumPy, an image at a time."""
  p = {k: np.asarray(v, np.float64) for k, v in params.items()}
  sigmoid = lambda a: 1 / (1 + np.exp(-a))
  logits = []
  for x in np.asarray(images, np.float64)[..., 0]:
    height, width = x.shape
    h, c = p["state_start"], p["cell_start"]
    for _ in range(steps):
      raw = h @ p["read_window_kernel"] + p["read_window_bias"]
      gx = (width + 1) / 2 * (raw[0] + 1)
      gy = (height + 1) / 2 * (raw[1] + 1)
      stride = (max(height, width) - 1) / 2 * np.exp(raw[3])
      banks = []
      for centre, size in ((gy, height), (gx, width)):
        mean = centre + (np.arange(1, 4) - 3 / 2 - 0.5) * stride
        pixel = np.arange(1, size + 1)
        f = np.exp(-((pixel - mean[:, None]) ** 2) / (2 * np.exp(raw[2])))
        banks.append(f / f.sum(1, keepdims=True))
      patch = np.exp(raw[4]) * banks[0] @ x @ banks[1].T
      both = np.concatenate([patch.reshape(-1), h])
      i, f, g, o = np.split(both @ p["lstm_kernel"] + p["lstm_bias"], 4)
      c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
      h = sigmoid(o) * np.tanh(c)
    logits.append(h @ p["head_kernel"] + p["head_bias"])
  return np.stack(logits)


def test_glimpses_are_the_equations_written_out(params, images):
  out = look(NET, params, images)
  np.testing.assert_allclose(
    out.logits, by_hand(params, images, 3), rtol=1e-4, atol=1e-5
  )
  assert out.seen.x.shape == (6, 3) and out.state.shape == (6, 5)


def test_the_first_window_is_the_same_and_later_ones_follow_the_image(
  params, images
):
  x = np.asarray(look(NET, params, images).seen.x)
  np.testing.assert_allclose(x[:, 0], x[0, 0], rtol=1e-6)
  assert (np.std(x[:, 1:], 0) > 1e-4).all()


def test_the_whole_image_is_read_without_a_window(images):
  net = dataclasses.replace(NET, read=0)
  made = net.init(jax.random.key(0), images)["params"]
  assert "read_window_kernel" not in made
  assert made["lstm_kernel"].shape == (63 + 5, 20)
  assert look(net, made, images).seen is None


def test_remat_and_unroll_change_no_value(params, images):
  plain = look(NET, params, images).logits
  for change in ({"remat": True}, {"unroll": 3}):
    net = dataclasses.replace(NET, **change)
    other = look(net, params, images).logits
    np.testing.assert_allclose(plain, other, rtol=1e-5, atol=1e-6)


def test_parameters_of_the_paper_do_not_depend_on_the_image():
  counts = []
  for side in (100, 60):
    net = dataclasses.replace(
      NET,
      **{"image_shape": (side, side, 1), "classes": 10, "steps": 8},
      **{"hidden": 256, "read": 12, "learned_cell": False},
    )
    x = jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32)
    made = jax.eval_shape(net.init, jax.random.key(0), x)
    counts.append(sum(a.size for a in jax.tree.leaves(made)))
  # LSTM (144 + 256 + 1) 4 x 256, window 257 x 5, head 257 x 10, start 256.
  assert counts == [401 * 1024 + 257 * 5 + 257 * 10 + 256] * 2


@pytest.fixture(scope="module")
def model():
  """The shipped method at smoke size, untrained."""
  config = shipped.config("cluttered_mnist", "smoke")
  method = shipped.build(config)
  return config, method, shipped.start(method, config)


def test_the_loss_is_the_cross_entropy_after_the_last_glimpse(model):
  config, method, state = model
  batch = shipped.batch(config)
  values = method.eval_step(state, batch, jax.random.key(0))
  logits = np.asarray(method.classify(state, batch["image"]), np.float64)
  shifted = logits - logits.max(1, keepdims=True)
  log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
  rows = np.arange(8)
  np.testing.assert_allclose(
    values["loss"], -log_p[rows, batch["label"]], rtol=1e-5
  )
  wrong = logits.argmax(1) != np.asarray(batch["label"])
  np.testing.assert_array_equal(values["error"], wrong)


def test_it_learns_where_a_spot_is(model):
  """The label is the quarter of the image that a spot lies in."""
  config, _, _ = model
  config = config.copy_and_resolve_references()
  config.draw.classes, config.draw.read, config.draw.steps = 4, 3, 2
  config.optimizer.lr, config.data.image_size = 0.02, 8
  config.optimizer.schedule = "constant"
  method = methods.build(config, (8, 8, 1))
  rng = np.random.default_rng(0)
  y, x = rng.integers(0, 8, (2, 256))
  image = np.zeros((256, 8, 8, 1), np.float32)
  image[np.arange(256), y, x] = 1.0
  batch = {
    "image": jnp.asarray(image),
    "label": jnp.asarray(2 * (y // 4) + x // 4, jnp.int32),
    "index": jnp.arange(256),
  }
  state = method.init(jax.random.key(0), batch)
  step = jax.jit(
    lambda s: jax.lax.scan(
      lambda now, _: method.train_step(now, batch, jax.random.key(0)),
      s,
      None,
      length=300,
    )
  )
  _, metrics = step(state)
  assert float(metrics["error"][0]) > 0.5
  assert float(metrics["error"][-1]) < 0.1


def test_a_film_shows_where_it_looked(model):
  config, method, state = model
  shape = shipped.image_shape(config)
  mesh = sharding.make_mesh()
  made = trained.Trained(config, method, state, shape, mesh)
  images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
  reel = made.film(3, images=images)
  assert reel.canvas.shape == (3, config.draw.steps + 1, *shape)
  np.testing.assert_array_equal(reel.canvas[:, -1], images)
  assert reel.written is None and reel.seen.boxes.shape[:2] == (3, 3)
  assert made.classify(images).shape == (3, 10)
  with pytest.raises(ValueError, match="--copies"):
    made.film(3)
  with pytest.raises(ValueError, match="makes no images"):
    made.reconstruct(images)


@pytest.mark.parametrize(
  ("key", "value"), [("classes", 1), ("steps", 0), ("read", -1)]
)
def test_impossible_values_are_refused(key, value):
  config = shipped.config("cluttered_mnist", "smoke")
  config.draw[key] = value
  with pytest.raises(ValueError, match=f"draw.{key} must be at least"):
    shipped.build(config)


def test_the_window_is_that_of_draw(params, images):
  raw = params["state_start"] @ params["read_window_kernel"]
  raw = (raw + params["read_window_bias"])[None]
  place = attention.window(raw, 9, 7, 3)
  seen = look(NET, params, images[:1]).seen
  np.testing.assert_allclose(seen.y[:, 0], place.y, rtol=1e-5)
  np.testing.assert_allclose(seen.stride[:, 0], place.stride, rtol=1e-5)


def test_states_are_plain(model):
  _, method, state = model
  assert isinstance(state, states.State)
  assert set(state.params) == set(method.players) == {"classifier"}


CARD = Card(
  **dict.fromkeys(
    ("network", "sha256", "resize", "quantisation", "reference"), ""
  ),
  **{"split": "test", "reference_count": 0, "sample_count": 0, "seed": 0},
  **{"ema": False, "normalisation": "average", "sampler": ""},
)


def test_the_error_is_of_all_images_and_of_each_label():
  labels = np.array([0, 0, 2, 2, 2])
  said = np.eye(3)[[0, 1, 2, 2, 0]]
  task = types.SimpleNamespace(
    classify=lambda images: said[images],
    batches=lambda: iter([np.arange(3), np.arange(3, 5)]),
    labels=lambda: labels,
    reference=types.SimpleNamespace(classes=("a", "b", "c")),
    card=CARD,
    count=5,
  )
  values, card = METRICS["classification"](task)
  assert values == {"error": 0.4, "error_of_a": 0.5, "error_of_c": 1 / 3}
  assert card.sample_count == 5
  task.classify = None
  with pytest.raises(Unavailable, match="no classifier"):
    METRICS["classification"](task)


def test_the_first_window_sees_the_whole_image():
  net = dataclasses.replace(NET, image_shape=(40, 40, 1), read=5)
  x = jnp.zeros((2, 40, 40, 1))
  first = jax.jit(lambda key: net.init_with_output(key, x)[0].seen)(
    jax.random.key(0)
  )
  first = jax.tree.map(lambda a: np.asarray(a[:, 0]), first)
  np.testing.assert_allclose((first.x, first.y), 20.5, rtol=1e-6)
  np.testing.assert_allclose(first.stride, 39 / 4, rtol=1e-6)
  width = np.exp(0.5 * first.log_variance)
  np.testing.assert_allclose(width, first.stride / 2, rtol=1e-5)


def test_what_only_painters_have_is_refused():
  for key, value in {
    "write": 3,
    "error_image": False,
    "kl_weight": 2.0,
  }.items():
    config = shipped.config("cluttered_mnist", "smoke")
    config.draw[key] = value
    with pytest.raises(ValueError, match=f"has no config.draw.{key}"):
      shipped.build(config)
