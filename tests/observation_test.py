"""Each observation model against a formula written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genlat.data.images import prepare_batch
from genlat.methods.observation import Observation
from genlat.metrics.likelihood import bits_per_dimension
from tests import shipped

RNG = np.random.default_rng(0)
RAW = RNG.normal(size=(2, 8, 8, 1))
LEVELS = RNG.integers(0, 256, size=(2, 8, 8, 1)) / 255.0
BITS = RNG.integers(0, 2, size=(2, 8, 8, 1)).astype(float)


def observation(side: int = 8, **changes) -> Observation:
  config = shipped.config("vae_mnist", **changes)
  return Observation.from_config(config, side)


def nll(images: np.ndarray, **changes) -> np.ndarray:
  model = observation(**changes)
  raw, x = (jnp.asarray(a, jnp.float32) for a in (RAW, images))
  return np.asarray(model.nll(raw, x, {}, {}))


def pixels(values: np.ndarray) -> np.ndarray:
  return values.sum((1, 2, 3))


UNIT = {
  "tanh": 0.5 * np.tanh(RAW) + 0.5,
  "sigmoid": 1.0 / (1.0 + np.exp(-RAW)),
}


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_energies_are_sums_over_pixels(activation):
  mean = UNIT[activation]
  for name, wanted in (
    ("l2", pixels((mean - LEVELS) ** 2)),
    ("l1", pixels(np.abs(mean - LEVELS))),
  ):
    got = nll(LEVELS, likelihood__name=name, likelihood__activation=activation)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_a_bernoulli_has_the_decoders_mean_image(activation):
  p = UNIT[activation]
  wanted = -pixels(np.log(np.where(BITS == 1.0, p, 1.0 - p)))
  got = nll(
    BITS,
    likelihood__name="bernoulli",
    likelihood__activation=activation,
    data__binarise="fixed",
  )
  np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_gaussian_is_scipys():
  wanted = -pixels(scipy.stats.norm.logpdf(LEVELS, UNIT["tanh"], 0.3))
  got = nll(LEVELS, likelihood__name="gaussian", likelihood__scale=0.3)
  np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_gaussian_of_one_level_around_the_image_has_the_golden_bits():
  """draw.md 1.5: 0.5 ln(2 pi) + 1/24 nats, averaged over the noise."""
  levels = RNG.integers(0, 256, size=(32, 32, 32, 3)).astype(np.uint8)
  noisy = prepare_batch(
    {"image": jnp.asarray(levels), "index": jnp.arange(32)},
    jax.random.key(0),
    flip=False,
    dequantise=True,
    binarise="none",
    random_crop=0,
  )["image"]
  model = observation(
    32,
    likelihood__name="gaussian",
    likelihood__activation="none",
    likelihood__scale=1 / 256,
    data__dequantise=True,
  )
  middle = (jnp.asarray(levels, jnp.float32) + 0.5) / 256
  nats = np.asarray(model.nll(middle, noisy, {}, {}), np.float64).mean()
  bits = bits_per_dimension(nats, 32 * 32 * 3, dequantised=True)
  # 98304 pixels: the mean's own deviation is 1.7e-4 bits.
  assert bits == pytest.approx(1.385860, abs=7e-4)


def test_a_logistic_is_the_mass_of_its_bin():
  law = scipy.stats.logistic(UNIT["tanh"], 0.2)
  below = np.where(LEVELS == 0.0, 0.0, law.cdf(LEVELS - 0.5 / 255))
  above = np.where(LEVELS == 1.0, 1.0, law.cdf(LEVELS + 0.5 / 255))
  got = nll(LEVELS, likelihood__name="logistic", likelihood__scale=0.2)
  np.testing.assert_allclose(got, -pixels(np.log(above - below)), rtol=1e-4)


def test_the_perceptual_loss_compares_images_in_one_range():
  """Zero for equal images, the pixels' part included (glf.md 1.5, 1.6)."""
  model = observation(16, likelihood__name="perceptual")
  # Two images in one range are equal for any weights.
  rng = np.random.default_rng(0)
  weights = lambda a: rng.normal(0.0, 0.05, a.shape).astype(a.dtype)
  frozen = jax.tree.map(weights, model.init()[1])
  raw = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
  same = model.image(raw)
  np.testing.assert_allclose(model.nll(raw, same, {}, frozen), 0.0, atol=1e-3)
  other = 1.0 - same
  total = model.nll(raw, other, {}, frozen)
  alone = jnp.abs(same - other).sum((1, 2, 3))
  assert (np.asarray(total) > np.asarray(alone)).all()


def test_a_new_perceptual_state_has_room_that_is_heard_of():
  model = observation(16, likelihood__name="perceptual")
  _, room = model.init()
  raw = jnp.zeros((1, 16, 16, 3))
  assert np.isnan(model.nll(raw, raw, {}, room)).all()


def test_taps_follow_the_size_of_the_images():
  assert observation(32).levels == 3
  assert observation(64).levels == 4
  assert observation(64, likelihood__levels=2).levels == 2


def test_only_densities_of_the_data_at_hand_bound_the_likelihood():
  grey = {"likelihood__name": "bernoulli"}
  assert not observation(**grey).density
  assert observation(data__binarise="dynamic", **grey).density
  assert observation(data__name="binarized_mnist", **grey).density
  assert observation(likelihood__name="gaussian").density
  assert not observation().density
  with pytest.raises(ValueError, match="config.data.dequantise"):
    observation(likelihood__name="logistic", data__dequantise=True)
