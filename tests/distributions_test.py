"""Densities integrate to one, divergences agree with sampling, goldens."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genlat import distributions as ds

LEVELS = np.arange(256, dtype=np.float32) / 255.0


def _draw(*shape, seed=0):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


def test_gaussian_density_is_scipys():
  x, mean, lv = _draw(4, 3), _draw(4, 3, seed=1), _draw(4, 3, seed=2)
  scale = np.exp(0.5 * lv)
  expected = scipy.stats.norm.logpdf(x, mean, scale).sum(-1)
  np.testing.assert_allclose(
    ds.gaussian_log_prob(x, mean, lv), expected, rtol=1e-5
  )
  np.testing.assert_allclose(
    ds.gaussian_entropy(lv), scipy.stats.norm.entropy(0, scale).sum(-1), 1e-5
  )
  np.testing.assert_allclose(
    ds.standard_normal_log_prob(x), scipy.stats.norm.logpdf(x).sum(-1), 1e-5
  )


def test_a_scalar_scale_is_that_of_every_element():
  x, mean = _draw(2, 3, 3, 1), _draw(2, 3, 3, 1, seed=1)
  for fn in (
    ds.gaussian_log_prob,
    ds.logistic_log_prob,
  ):
    full = fn(x, mean, jnp.full(x.shape, -0.3))
    assert full.shape == (2,)
    np.testing.assert_allclose(fn(x, mean, jnp.float32(-0.3)), full, rtol=1e-5)


def test_kl_has_the_hand_value():
  mean = jnp.array([[1.0, -2.0]])
  lv = jnp.array([[0.0, math.log(4.0)]])
  np.testing.assert_allclose(ds.gaussian_kl(mean, lv), 3.3068528, rtol=1e-6)
  np.testing.assert_allclose(
    ds.gaussian_kl_elements(mean, lv), [[0.5, 2.8068528]], rtol=1e-6
  )
  zero = jnp.zeros((1, 2))
  np.testing.assert_array_equal(ds.gaussian_kl(zero, zero), 0.0)


def test_kl_is_the_mean_log_ratio_of_reparameterised_samples():
  mean = jnp.tile(jnp.array([1.0, -2.0]), (100_000, 1))
  lv = jnp.tile(jnp.array([-1.0, math.log(4.0)]), (100_000, 1))
  z = ds.gaussian_sample(jax.random.key(0), mean, lv)
  ratio = ds.gaussian_log_prob(z, mean, lv) - ds.standard_normal_log_prob(z)
  error = ratio.std() / math.sqrt(len(z))
  assert abs(ratio.mean() - ds.gaussian_kl(mean, lv)[0]) < 3.0 * error


def test_sampling_passes_gradients_to_mean_and_log_variance():
  sample = lambda mean, lv: ds.gaussian_sample(jax.random.key(0), mean, lv)
  mean, lv = _draw(1, 3), _draw(1, 3, seed=1)
  total = lambda mean, lv: sample(mean, lv).sum()
  by_mean, by_lv = jax.grad(total, (0, 1))(mean, lv)
  np.testing.assert_array_equal(by_mean, 1.0)
  np.testing.assert_allclose(by_lv, 0.5 * (sample(mean, lv) - mean), atol=1e-6)


def test_bernoulli_at_zero_logits_costs_ln_2_a_pixel():
  x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, 28, 28, 1)))
  log_prob = ds.bernoulli_log_prob(x.astype(jnp.float32), jnp.zeros(x.shape))
  np.testing.assert_allclose(log_prob, -543.42739, rtol=1e-6)


def test_bernoulli_probabilities_sum_to_one_at_any_logit():
  logits = jnp.array([[-200.0], [-3.0], [0.1], [200.0]])
  one = ds.bernoulli_log_prob(jnp.ones((4, 1)), logits)
  zero = ds.bernoulli_log_prob(jnp.zeros((4, 1)), logits)
  np.testing.assert_allclose(jnp.exp(one) + jnp.exp(zero), 1.0, rtol=1e-6)
  np.testing.assert_allclose(one[0], -200.0)


@pytest.mark.parametrize(
  "mean,log_scale", [(0.3, -2.0), (0.3, -7.0), (-0.5, -1.0), (1.2, -4.0)]
)
def test_discretised_logistic_masses_sum_to_one(mean, log_scale):
  log_prob = ds.logistic_log_prob(
    jnp.asarray(LEVELS), jnp.full(256, mean), jnp.float32(log_scale)
  )
  np.testing.assert_allclose(jnp.exp(log_prob).sum(), 1.0, rtol=1e-4)


def test_discretised_logistic_has_the_hand_value():
  log_prob = ds.logistic_log_prob(
    jnp.array([77.0 / 255.0]), jnp.array([0.3]), jnp.float32(-2.0)
  )
  np.testing.assert_allclose(log_prob, -4.9276279, rtol=1e-5)


def test_discretised_logistic_is_the_difference_of_cdfs():
  x, mean, scale = LEVELS[1:-1].astype(float), 0.4, 0.2
  cdf = scipy.stats.logistic(mean, scale).cdf
  expected = np.log(cdf(x + 1 / 510) - cdf(x - 1 / 510))
  actual = ds.logistic_log_prob(
    jnp.asarray(LEVELS[1:-1]), jnp.full(254, mean), jnp.log(scale)
  )
  np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_discretised_logistic_is_finite_in_the_far_tails():
  mean = jnp.array([-50.0, 50.0, 0.5])
  for level in (0.0, 100.0 / 255.0, 1.0):
    total = lambda mean, ls, x=level: ds.logistic_log_prob(
      jnp.full(3, x), mean, ls
    ).sum()
    value, slopes = jax.value_and_grad(total, (0, 1))(mean, jnp.full(3, -7.0))
    assert np.isfinite(value)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_categorical_probabilities_and_divergence_by_hand():
  logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])) + 7.0
  labels = jnp.array([1, 2])
  np.testing.assert_allclose(
    ds.categorical_log_prob(labels, logits), np.log([0.25, 1 / 3]), rtol=1e-5
  )
  entropy = 1.5 * math.log(2.0)
  np.testing.assert_allclose(
    ds.categorical_kl(logits), [math.log(3.0) - entropy, 0.0], atol=1e-6
  )


def test_categorical_samples_follow_their_logits():
  logits = jnp.tile(jnp.log(jnp.array([0.7, 0.2, 0.1])), (20_000, 1))
  labels = ds.categorical_sample(jax.random.key(0), logits)
  assert labels.dtype == jnp.int32 and labels.shape == (20_000,)
  shares = np.bincount(labels, minlength=3) / 20_000
  np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.015)


def _mixture():
  weights = np.array([0.3, 0.7], np.float32)
  means = np.array([[0.0, 1.0, 2.0], [-3.0, 0.0, 0.5]], np.float32)
  factor = np.tril(np.random.default_rng(3).normal(size=(2, 3, 3)))
  factor = np.abs(factor).astype(np.float32) + 0.5 * np.eye(3, dtype="f")
  return jnp.log(weights), jnp.asarray(means), jnp.asarray(factor)


def test_mixture_density_is_the_weighted_sum_of_scipys():
  log_weights, means, factors = _mixture()
  x = _draw(5, 3)
  normal = scipy.stats.multivariate_normal
  density = sum(
    math.exp(w) * normal(m, c @ c.T).pdf(x)
    for w, m, c in zip(log_weights, means, factors, strict=True)
  )
  np.testing.assert_allclose(
    ds.mixture_log_prob(x, log_weights, means, factors),
    np.log(density),
    rtol=1e-4,
  )


def test_mixture_samples_have_its_moments():
  log_weights, means, factors = _mixture()
  x = ds.mixture_sample(jax.random.key(0), 40_000, log_weights, means, factors)
  weights = np.exp(log_weights)
  mean = weights @ means
  centred = np.asarray(means - mean[None])
  covariance = np.einsum("k,kij,klj->il", weights, factors, factors)
  covariance += np.einsum("k,ki,kj->ij", weights, centred, centred)
  np.testing.assert_allclose(x.mean(0), mean, atol=0.05)
  np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.12)


def test_densities_of_images_sum_over_all_axes_but_the_first():
  x = _draw(2, 4, 3, 1)
  expected = scipy.stats.norm.logpdf(x).reshape(2, -1).sum(-1)
  np.testing.assert_allclose(
    ds.standard_normal_log_prob(x), expected, rtol=1e-5
  )


@pytest.mark.parametrize(
  "call",
  [
    lambda: ds.gaussian_log_prob(_draw(2, 3), _draw(2, 4), _draw(2, 4)),
    lambda: ds.gaussian_log_prob(_draw(2, 3), _draw(2, 3), _draw(1, 3)),
    lambda: ds.gaussian_kl(_draw(2, 3), _draw(2, 1)),
    lambda: ds.bernoulli_log_prob(_draw(2, 3), _draw(2, 1)),
    lambda: ds.logistic_log_prob(_draw(2, 3), _draw(1, 3), jnp.zeros(())),
    lambda: ds.categorical_log_prob(jnp.zeros(2, int), _draw(3, 4)),
    lambda: ds.mixture_log_prob(_draw(5, 2), *_mixture()),
  ],
)
def test_mismatched_shapes_raise(call):
  with pytest.raises(AssertionError):
    call()


def test_the_ring_has_ten_flat_components():
  rows = jnp.repeat(jnp.arange(10), 4000)
  x = ds.ring_sample(jax.random.key(0), 40000, 4, rows)
  x = np.asarray(x).reshape(10, 4000, 2, 2)
  angle = 2 * np.pi * np.arange(10) / 10
  axis = np.stack([np.cos(angle), np.sin(angle)], -1)
  across = np.stack([-axis[:, 1], axis[:, 0]], -1)
  along = np.einsum("knpi,ki->knp", x, axis)
  side = np.einsum("knpi,ki->knp", x, across)
  np.testing.assert_allclose(along.mean(1), 1.4, atol=0.04)
  np.testing.assert_allclose(along.std(1), 0.5, atol=0.03)
  np.testing.assert_allclose(side.mean(1), 0.0, atol=0.01)
  np.testing.assert_allclose(side.std(1), 0.1, atol=0.01)
  free = ds.ring_sample(jax.random.key(1), 4000, 2)
  turned = np.arctan2(free[:, 1], free[:, 0]) % (2 * np.pi)
  assert len(np.unique(np.rint(turned * 10 / (2 * np.pi)) % 10)) == 10


def test_the_swiss_roll_winds_twice_outwards():
  x = ds.swiss_roll_sample(jax.random.key(0), 5000, 2)
  radius = np.linalg.norm(x, axis=1)
  angle = np.arctan2(x[:, 1], x[:, 0])
  wanted = 4 * np.pi * radius / 3
  np.testing.assert_allclose(np.cos(wanted), np.cos(angle), atol=1e-3)
  assert 2.9 < radius.max() <= 3.0
  # The radius of uniform u is 3 sqrt(u): its square is uniform.
  np.testing.assert_allclose(np.square(radius / 3).mean(), 0.5, atol=0.02)


def test_odd_dimensions_have_no_pairs():
  for draw in (ds.ring_sample, ds.swiss_roll_sample):
    with pytest.raises(ValueError, match="pairs of dimensions; got d = 3"):
      draw(jax.random.key(0), 2, 3)
