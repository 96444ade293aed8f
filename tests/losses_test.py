"""Reconstruction, variational and flow losses: hand values and identities."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import distributions
from genlat.losses import elbo, flow, reconstruction

X = jnp.array([[0.0, 0.5, 1.0], [0.2, 0.2, 0.2]])
Y = jnp.array([[0.5, 0.5, 0.0], [0.2, 0.4, 0.1]])


def _draw(*shape, seed=0):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


def _two_points(mean, lv):
  """Mean +- deviation: their average is exact for quadratic functions."""
  deviation = jnp.exp(0.5 * lv)
  return mean + deviation, mean - deviation


def test_reconstruction_losses_sum_over_pixels():
  np.testing.assert_allclose(
    reconstruction.squared_error(X, Y), [1.25, 0.05], rtol=1e-6
  )
  np.testing.assert_allclose(
    reconstruction.absolute_error(X, Y), [1.5, 0.3], rtol=1e-6
  )
  images = jnp.ones((2, 4, 4, 3))
  np.testing.assert_array_equal(
    reconstruction.squared_error(images, 0.0 * images), 48.0
  )


@pytest.mark.parametrize(
  "shape,nats",
  [
    ((28, 28, 1), 543.427390),
    ((60, 60, 1), 2495.329850),
    ((54, 54, 3), 6063.651536),
    ((32, 32, 3), 2129.348138),
  ],
)
def test_bernoulli_at_zero_logits_costs_ln_2_a_pixel(shape, nats):
  x = np.random.default_rng(0).uniform(size=(2, *shape))
  x = jnp.asarray(x, jnp.float32)
  got = reconstruction.bernoulli_nll(x, jnp.zeros_like(x))
  np.testing.assert_allclose(got, nats, rtol=1e-6)


def test_bernoulli_is_the_cross_entropy_and_lasts_at_large_logits():
  x = np.array([[0.0, 0.3, 1.0]])
  logits = np.array([[-2.0, 0.5, 3.0]])
  p = 1.0 / (1.0 + np.exp(-logits))
  wanted = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
  nll = lambda c: reconstruction.bernoulli_nll(jnp.asarray(x, jnp.float32), c)
  got = nll(jnp.asarray(logits, jnp.float32))
  np.testing.assert_allclose(got, wanted, rtol=1e-5)
  far = jnp.array([[1e4, -1e4, -1e4]])
  np.testing.assert_allclose(nll(far), [1e4 + 0.3e4 + 1e4], rtol=1e-6)
  assert np.isfinite(jax.grad(lambda c: nll(c).sum())(far)).all()


def test_grey_levels_cost_their_entropy_at_least():
  x = jnp.array([[0.1, 0.5, 0.8]])
  best = jnp.log(x / (1.0 - x))
  nll = lambda c: reconstruction.bernoulli_nll(x, c).sum()
  entropy = -(x * jnp.log(x) + (1 - x) * jnp.log(1 - x)).sum()
  np.testing.assert_allclose(nll(best), entropy, rtol=1e-5)
  np.testing.assert_allclose(jax.grad(nll)(best), 0.0, atol=1e-6)
  for other in (best + 0.1, best - 0.1, jnp.zeros_like(x)):
    assert float(nll(other)) > float(entropy) + 1e-3


def test_gaussian_at_a_perfect_mean_costs_its_constant():
  nll = reconstruction.gaussian_nll(X, X, jnp.zeros(()))
  np.testing.assert_allclose(nll, 3 * 0.9189385, rtol=1e-6)


def test_gaussian_is_the_scaled_squared_error_plus_constant():
  log_scale = jnp.float32(-0.7)
  expected = reconstruction.squared_error(X, Y) * math.exp(1.4) / 2.0
  expected += 3 * (-0.7 + 0.9189385)
  np.testing.assert_allclose(
    reconstruction.gaussian_nll(X, Y, log_scale), expected, rtol=1e-5
  )


def test_best_variance_is_the_mean_squared_error():
  best = 0.5 * jnp.log(reconstruction.squared_error(X, Y).mean() / 3.0)
  slope = jax.grad(lambda s: reconstruction.gaussian_nll(X, Y, s).mean())
  np.testing.assert_allclose(slope(best), 0.0, atol=1e-5)
  assert slope(best - 0.1) < -0.1 and slope(best + 0.1) > 0.1


def test_discretised_logistic_has_the_hand_value():
  nll = reconstruction.logistic_nll(
    jnp.full((1, 2), 77.0 / 255.0), jnp.full((1, 2), 0.3), jnp.float32(-2.0)
  )
  np.testing.assert_allclose(nll, 2 * 4.9276279, rtol=1e-5)


@pytest.mark.parametrize(
  "loss",
  [
    reconstruction.squared_error,
    reconstruction.absolute_error,
    reconstruction.bernoulli_nll,
    lambda x, y: reconstruction.gaussian_nll(x, y, jnp.zeros(())),
    lambda x, y: reconstruction.logistic_nll(x, y, jnp.zeros(())),
  ],
)
def test_images_of_unlike_shapes_raise(loss):
  assert loss(X, Y).shape == (2,)
  with pytest.raises(AssertionError):
    loss(X, Y[:1])


@pytest.mark.parametrize(
  "size,golden", [(20, 18.37877066409345), (64, 58.81206612509905)]
)
def test_identity_flow_costs_the_gaussian(size, golden):
  with jax.enable_x64(True):
    e, zero = jnp.zeros((1, size), jnp.float64), jnp.zeros(1, jnp.float64)
    np.testing.assert_allclose(flow.flow_nll(e, zero), golden, rtol=1e-15)
    np.testing.assert_allclose(
      flow.flow_nll(e + 2.0, zero), golden + 2.0 * size, rtol=1e-15
    )


def test_stretching_codes_is_paid_by_the_logdet():
  z = _draw(3, 4)
  nll = flow.flow_nll(z / 5.0, jnp.full(3, -4 * math.log(5.0)))
  expected = -distributions.gaussian_log_prob(
    z, jnp.zeros_like(z), jnp.float32(2.0 * math.log(5.0))
  )
  np.testing.assert_allclose(nll, expected, rtol=1e-5)


def test_kl_has_the_hand_value_and_beta_weighs_it():
  kl = elbo.kl_standard_normal(
    jnp.array([[1.0, -2.0]]), jnp.array([[0.0, math.log(4.0)]])
  )
  np.testing.assert_allclose(kl, 3.3068528, rtol=1e-6)
  np.testing.assert_allclose(
    elbo.negative_elbo(jnp.ones(1), kl, 2.0), 7.6137056, rtol=1e-6
  )


def flow_prior(rec, nll, lv, beta):
  return beta * rec + elbo.flow_prior_kl(nll, lv)


def test_flow_prior_with_the_identity_flow_is_the_vae():
  mean, lv, rec = _draw(3, 4), _draw(3, 4, seed=1), _draw(3, seed=2)
  values = [
    flow_prior(rec, flow.flow_nll(z, jnp.zeros(3)), lv, 400.0)
    for z in _two_points(mean, lv)
  ]
  expected = 400.0 * rec + elbo.kl_standard_normal(mean, lv)
  np.testing.assert_allclose(sum(values) / 2.0, expected, rtol=1e-5)


def test_flow_prior_without_constants_is_the_kl_plus_half_d():
  """NLL - sum(lv) / 2, as the authors' code has it."""
  mean, lv = _draw(3, 4), _draw(3, 4, seed=1)
  nll = [flow.flow_nll(z, jnp.zeros(3)) for z in _two_points(mean, lv)]
  expected = elbo.kl_standard_normal(mean, lv) + 2.0
  expected += 2.0 * math.log(2.0 * math.pi)
  np.testing.assert_allclose(
    sum(nll) / 2.0 - 0.5 * lv.sum(-1), expected, rtol=1e-5
  )


def test_vanishing_noise_leaves_the_squared_error():
  rec, nll, lv = jnp.ones(2), jnp.array([5.0, -3.0]), jnp.full((2, 4), -6.0)
  for variance in (1e-2, 1e-4):
    beta = 1.0 / (2.0 * variance)
    loss = 2.0 * variance * flow_prior(rec, nll, lv, beta)
    np.testing.assert_allclose(loss, 1.0, atol=40.0 * variance)


def _linear_gaussian(count, inflate):
  """Log-weights of x = Wz + noise, posterior covariance times `inflate`."""
  w = np.array([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.3]])
  x, variance = np.array([1.0, -1.0, 0.5]), 0.25
  covariance = np.linalg.inv(np.eye(2) + w.T @ w / variance)
  mean = covariance @ w.T @ x / variance
  factor = np.linalg.cholesky(inflate * covariance)
  noise = np.random.default_rng(0).normal(size=(*count, 2))
  z = mean + noise @ factor.T
  square = lambda v: (v**2).sum(-1)
  log_2pi = math.log(2.0 * math.pi)
  log_q = -0.5 * square(noise) - np.log(np.diag(factor)).sum() - log_2pi
  log_p = -0.5 * square(z) - log_2pi
  log_p -= 0.5 * square(x - z @ w.T) / variance
  log_p -= 1.5 * (log_2pi + math.log(variance))
  return jnp.asarray(log_p - log_q, jnp.float32)


def test_iwae_with_the_exact_posterior_is_the_evidence():
  for k in (1, 7):
    loss = elbo.iwae(_linear_gaussian((k, 3), inflate=1.0))
    np.testing.assert_allclose(loss, 6.7752372, rtol=1e-5)


def test_iwae_of_one_sample_is_the_elbo_and_more_samples_tighten_it():
  losses = []
  for k in (1, 10, 100):
    log_weights = _linear_gaussian((k, 20_000), inflate=4.0)
    losses.append(float(elbo.iwae(log_weights).mean()))
    if k == 1:
      np.testing.assert_array_equal(elbo.iwae(log_weights), -log_weights[0])
  np.testing.assert_allclose(losses[0], 8.3889428, atol=0.05)
  np.testing.assert_allclose(losses[1], 6.847, atol=0.01)
  assert losses[0] > losses[1] > losses[2] > 6.7752372 - 1e-3


def test_iwae_gradient_weighs_samples_by_their_softmax():
  log_weights = _draw(5, 3)
  gradient = jax.grad(lambda w: elbo.iwae(w).sum())(log_weights)
  np.testing.assert_allclose(
    gradient, -jax.nn.softmax(log_weights, axis=0), atol=1e-6
  )


@pytest.mark.parametrize(
  "call",
  [
    lambda: elbo.kl_standard_normal(_draw(2, 3), _draw(2, 1)),
    lambda: elbo.posterior_entropy(_draw(2)),
    lambda: elbo.negative_elbo(_draw(2), _draw(1), 1.0),
    lambda: elbo.negative_elbo(_draw(2, 3), _draw(2, 3), 1.0),
    lambda: flow_prior(_draw(2), _draw(2), _draw(3, 4), 1.0),
    lambda: elbo.iwae(_draw(3)),
    lambda: flow.flow_nll(_draw(2, 3), _draw(3)),
    lambda: flow.flow_nll(_draw(3), _draw(3)),
  ],
)
def test_mismatched_shapes_raise(call):
  with pytest.raises(AssertionError):
    call()
