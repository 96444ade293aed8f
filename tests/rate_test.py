"""Laws of codes kept in part, and of the metric that prices them."""

import dataclasses
import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from genlat import evaluate, sharding
from genlat.methods.method import Lossy
from genlat.metrics import rate
from genlat.metrics.scores import METRICS
from genlat.metrics.task import Remade, Task, Unavailable
from genlat.trained import Trained
from tests import shipped

DRAWS = ("draw_fast_mnist", "conv_draw_a_mnist", "conv_draw_b_mnist")
ROWS, LIMIT = 4, 20


class Case(NamedTuple):
  """A method with weights that say something, and its compiled parts."""

  config: Any
  method: Any
  state: Any
  images: jax.Array
  priced: Any
  remake: Any
  decode: Any


def filled(method: Any) -> Any:
  """A state of random weights, in which every term counts."""
  shapes = jax.eval_shape(method.init, jax.random.key(0), {})
  rng = np.random.default_rng(0)
  weigh = lambda a: jnp.asarray(0.2 * rng.normal(size=a.shape), a.dtype)
  return jax.tree.map(weigh, shapes)


@functools.cache
def case(name: str) -> Case:
  config = shipped.config(name, "smoke")
  config.draw.steps = 2
  config.data.image_size = 8
  config.evaluation.limit, config.evaluation.batch_size = LIMIT, 16
  method: Any = shipped.build(config)
  images = jnp.round(shipped.batch(config, ROWS)["image"])
  parts = map(jax.jit, (method.priced, method.remake, method.decode))
  return Case(config, method, filled(method), images, *parts)


def copy(c: Case, images: jax.Array, codes: Any, kept: int, seed: int = 5):
  key = jax.random.key(seed)
  return c.remake(c.state, images, codes, jnp.int32(kept), key)


@pytest.mark.parametrize("name", [DRAWS[0], DRAWS[2]])
def test_all_codes_remake_the_image_and_none_forget_it(name):
  c, key = case(name), jax.random.key(3)
  codes, _ = c.priced(c.state, c.images, key)
  whole, _ = copy(c, c.images, codes, 2)
  posterior = c.decode(c.state, codes)
  np.testing.assert_allclose(whole, posterior, rtol=1e-4, atol=1e-5)
  other, _ = c.priced(c.state, 1.0 - c.images, key)
  none, first = copy(c, c.images, codes, 0)
  same, second = copy(c, 1.0 - c.images, other, 0)
  np.testing.assert_array_equal(none, same)
  assert (np.asarray(first) != np.asarray(second)).all()
  # The one code kept matters, and so does the draw of the other.
  some, _ = copy(c, c.images, codes, 1)
  for changed in (
    none,
    whole,
    copy(c, c.images, codes, 1, seed=6)[0],
    copy(c, c.images, other, 1)[0],
  ):
    assert np.abs(np.asarray(some - changed)).max() > 1e-4


def test_lossy_is_both_halves():
  c, key = case("draw_fast_mnist"), jax.random.key(4)
  first, second = jax.random.split(key)
  codes, cost = c.priced(c.state, c.images, first)
  lossy = jax.jit(c.method.lossy)
  for kept in range(3):
    got, price = lossy(c.state, c.images, key, jnp.int32(kept))
    wanted, _ = c.remake(c.state, c.images, codes, jnp.int32(kept), second)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(price, cost[:, :kept].sum(1), rtol=1e-5)


@pytest.mark.parametrize("name", [DRAWS[0], DRAWS[2]])
def test_a_sample_is_what_its_codes_decode_to(name):
  c, key = case(name), jax.random.key(8)

  @jax.jit
  def both(state: Any):
    noise = c.method._noise(key, ROWS)
    return c.method.sample(state, key, ROWS), c.method._dream(state, noise)[1]

  sample, codes = both(c.state)
  wanted = c.decode(c.state, codes)
  np.testing.assert_allclose(sample, wanted, rtol=1e-4, atol=1e-5)
  assert np.ptp(np.asarray(sample), 0).max() > 1e-3


def task(c: Case, folder: pathlib.Path, **changes: Any) -> Task:
  config = c.config.copy_and_resolve_references()
  config.evaluation.update(changes)
  shape = shipped.image_shape(config)
  # One method is seen on all devices; the others compile sooner on one.
  devices = jax.devices()[: None if c is case(DRAWS[0]) else 1]
  mesh = sharding.make_mesh(1, devices)
  model = Trained(config, c.method, c.state, shape, mesh)
  return evaluate.describe(model, folder)


@pytest.mark.parametrize("name", DRAWS)
def test_a_curve_is_that_of_the_likelihood_s_draws(name, tmp_path):
  given = task(case(name), tmp_path)
  scores, card = METRICS["rate_distortion"](given)
  assert scores["codes_kept"] == [0, 1, 2]
  nats = scores["rate_nats"]
  assert nats[0] == 0.0 and nats[0] < nats[1] < nats[2]
  terms = given.means()
  for name, last in (
    ("kl", nats[2]),
    ("mse", scores["mse"][2]),
    ("reconstruction", scores["reconstruction_nats"][2]),
  ):
    assert last == pytest.approx(terms[name], rel=1e-5)
  assert nats[1] == pytest.approx(terms["kl_step/01"], rel=1e-5)
  bits = nats[2] / (64 * np.log(2))
  assert scores["rate_bits_per_dim"][2] == pytest.approx(bits)
  assert card.sample_count == LIMIT and "draw of the prior" in card.sampler
  with Image.open(tmp_path / "rate_distortion.png") as sheet:
    assert sheet.size == (4 * 10 - 2, 8 * 10 - 2)
    # The images as they were coded are black and white, the copies grey.
    pixels = np.asarray(sheet)
  assert set(np.unique(pixels[:8, :8])) <= {0, 255}
  assert len(np.unique(pixels[:8, 10:18])) > 2
  assert (tmp_path / "rate_distortion_curve.png").stat().st_size > 1000


def test_without_codes_the_prior_s_means_are_one_image(tmp_path):
  c = case("draw_fast_mnist")
  given = task(c, tmp_path, lossy_rest="mean")
  assert given.remade is not None
  parts = list(given.remade(True))
  assert [len(part.rate) for part in parts] == [16, LIMIT - 16]
  assert [part.copies.shape for part in parts] == [
    (8, 3, 8, 8, 1),
    (4, 3, 8, 8, 1),
  ]
  none = np.concatenate([part.copies[:, 0] for part in parts])
  np.testing.assert_array_equal(none, np.broadcast_to(none[:1], none.shape))
  drawn = next(iter(given.remade(False))).copies
  assert (drawn[1:, 0] != drawn[:1, 0]).any((1, 2, 3)).all()
  np.testing.assert_array_equal(drawn[:, 2], parts[0].copies[:, 2])
  _, card = rate.rate_distortion(given)
  assert "the prior's mean" in card.sampler


def made(c: Case, folder: pathlib.Path, parts: list[Remade]) -> Task:
  """A task whose copies are made up; `evaluation.limit` is theirs."""
  rows = sum(len(part.rate) for part in parts)
  given = task(c, folder, limit=rows)
  return dataclasses.replace(given, remade=lambda mean: iter(parts))


def test_means_are_of_images_whatever_their_batches(tmp_path):
  image = np.zeros((1, 8, 8, 1), np.uint8)
  rows = lambda *values: np.array(values)
  parts = [
    Remade(
      rate=rows([0.0, 3.0], [0.0, 6.0]),
      mse=rows([0.1, 0.01], [0.1, 0.0]),
      nats=None,
      originals=image,
      copies=np.zeros((1, 2, 8, 8, 1), np.uint8),
    )
  ]
  parts.append(parts[0]._replace(rate=rows([0, 9.0]), mse=rows([1.0, 0.1])))
  scores, _ = rate.rate_distortion(
    made(case("draw_fast_mnist"), tmp_path, parts)
  )
  assert "reconstruction_nats" not in scores
  np.testing.assert_allclose(scores["rate_nats"], [0.0, 6.0])
  np.testing.assert_allclose(scores["mse"], [0.4, 0.11 / 3])
  # An exact copy counts as one level off in one of its 64 pixels.
  exact = 10 * np.log10(64 * 255.0**2)
  wanted = [20 / 3, (20 + exact + 10) / 3]
  np.testing.assert_allclose(scores["psnr_db"], wanted)


def test_columns_keep_both_ends():
  np.testing.assert_array_equal(rate.columns(2), [0, 1, 2])
  np.testing.assert_array_equal(rate.columns(64), [0, 11, 21, 32, 43, 53, 64])


def test_an_energy_is_no_nats(tmp_path):
  c = case("draw_fast_mnist")
  blind = dataclasses.replace(c.method.observation, binary=False)
  method = dataclasses.replace(c.method, observation=blind)
  given = task(c._replace(method=method), tmp_path, limit=4)
  assert given.remade is not None
  assert next(iter(given.remade(False))).nats is None


def test_only_codes_of_steps_have_a_curve(tmp_path):
  config = shipped.config("vae_mnist", "smoke")
  method = shipped.build(config)
  assert not isinstance(method, Lossy)
  shape, mesh = shipped.image_shape(config), sharding.make_mesh(1)
  model = Trained(config, method, filled(method), shape, mesh)
  with pytest.raises(Unavailable, match="no steps"):
    rate.rate_distortion(evaluate.describe(model, tmp_path))
  given = task(case("draw_fast_mnist"), tmp_path, lossy_rest="zero")
  with pytest.raises(ValueError, match="lossy_rest must be draw or mean"):
    rate.rate_distortion(given)
  assert not list(tmp_path.iterdir())
