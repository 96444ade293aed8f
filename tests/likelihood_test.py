"""Bounds on the likelihood where the likelihood is known."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from genlat.metrics import likelihood

# x = W z + noise of variance S2, z ~ N(0, I): everything is closed-form.
W = np.array([[1, 0.5], [0, 1], [-1, 0.3]])
S2 = 0.25
X = np.array([1, -1, 0.5])
LOG_P, ELBO = -6.7752372, -8.3889428


def log_normal(x, mean, covariance):
  """Log-density at rows of x."""
  shift = x - mean
  square = np.einsum("...i,ij,...j", shift, np.linalg.inv(covariance), shift)
  logdet = np.linalg.slogdet(2 * np.pi * covariance)[1]
  return -0.5 * (square + logdet)


def log_weights(k, batch, inflate, seed=0):
  """Of draws of the exact posterior, its covariance inflated, [k, B]."""
  covariance = np.linalg.inv(np.eye(2) + W.T @ W / S2)
  mean = covariance @ W.T @ X / S2
  covariance *= inflate
  rng = np.random.default_rng(seed)
  z = rng.multivariate_normal(mean, covariance, size=(k, batch))
  joint = log_normal(z, np.zeros(2), np.eye(2))
  joint = joint + log_normal(X, z @ W.T, S2 * np.eye(3))
  return joint - log_normal(z, mean, covariance)


def test_the_model_has_the_published_likelihood():
  marginal = log_normal(X, np.zeros(3), W @ W.T + S2 * np.eye(3))
  assert marginal == pytest.approx(LOG_P, abs=1e-7)


@pytest.mark.parametrize("k", [1, 7])
def test_the_exact_posterior_leaves_no_gap(k):
  bound = likelihood.importance_bound(jnp.asarray(log_weights(k, 5, 1.0)))
  np.testing.assert_allclose(bound, np.full(5, LOG_P), atol=1e-4)


def test_one_draw_is_the_evidence_lower_bound():
  log_w = jnp.asarray(log_weights(1, 200_000, 4.0), jnp.float32)
  bound = likelihood.importance_bound(log_w)
  np.testing.assert_array_equal(bound, log_w[0])
  assert float(bound.mean()) == pytest.approx(ELBO, abs=0.02)


def test_the_bound_rises_with_the_draws_to_the_likelihood():
  means = [
    float(likelihood.importance_bound(jnp.asarray(log_weights(*case))).mean())
    for case in ((1, 20_000, 4.0), (10, 20_000, 4.0), (1000, 400, 4.0))
  ]
  assert means[0] < means[1] < means[2] < LOG_P + 0.01
  assert means[1] == pytest.approx(-6.847, abs=0.01)
  assert means[2] == pytest.approx(-6.775, abs=0.01)


def test_weights_far_below_one_do_not_vanish():
  log_w = jnp.array([[-2000.0], [-2000.0 + math.log(3.0)]])
  np.testing.assert_allclose(
    likelihood.importance_bound(log_w), [-2000 + math.log(2.0)], rtol=1e-6
  )


def test_bits_per_dimension():
  nats = jnp.array([784 * math.log(2.0), 0.0])
  bits = likelihood.bits_per_dimension(nats, 784)
  np.testing.assert_allclose(bits, [1, 0], rtol=1e-6)
  # A uniform density over [0, 1] says nothing of a grey level: 8 bits.
  bits = likelihood.bits_per_dimension(nats, 784, dequantised=True)
  np.testing.assert_allclose(bits, [9, 8], rtol=1e-6)


def test_active_units_are_those_that_follow_the_image():
  rng = np.random.default_rng(0)
  scales = np.sqrt([0.02, 0.005, 1.0, 0.0])
  means = 100 + rng.normal(size=(4000, 4)) * scales
  assert likelihood.active_units(means.astype(np.float32)) == 2
  assert likelihood.active_units(means, threshold=0.5) == 1
  with pytest.raises(ValueError, match=r"\[N, d\]"):
    likelihood.active_units(means[0])


def test_kl_per_dimension_by_hand():
  mean = jnp.array([[1.0, -2.0], [1.0, 0.0]])
  log_variance = jnp.array([[0.0, math.log(4.0)], [0.0, 0.0]])
  got = likelihood.kl_per_dimension(mean, log_variance)
  np.testing.assert_allclose(got, [0.5, 2.8068528 / 2], rtol=1e-6)


def test_mismatches_raise():
  with pytest.raises(AssertionError, match="rank"):
    likelihood.importance_bound(jnp.zeros(3))
  with pytest.raises(AssertionError, match="rank"):
    likelihood.kl_per_dimension(jnp.zeros(3), jnp.zeros(3))
