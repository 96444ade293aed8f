"""Laws of the introspective losses (introvae.md 1 and 7)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.losses import elbo, introspective


def test_the_kl_has_its_closed_values():
  mean = jnp.array([[0.0], [1.0], [0.0], [2.0]])
  log_var = jnp.array([[0.0], [0.0], [np.log(4.0)], [-1.0]])
  np.testing.assert_allclose(
    elbo.kl_standard_normal(mean, log_var),
    [0.0, 0.5, 0.80685281944, 2.18393972059],
    rtol=1e-6,
  )


def test_the_official_losses_have_the_values_of_the_sheet():
  kl = {name: jnp.array([v]) for name, v in (("rec", 100.0), ("fake", 130.0))}
  hinges = [introspective.margin_hinge_of_mean(e, 120.0) for e in kl.values()]
  encoder = introspective.encoder_loss(
    80.0, hinges, 400.0, alpha=0.25, beta=0.05
  )
  decoder = introspective.decoder_loss(
    [e.mean() for e in kl.values()], 400.0, alpha=0.5, beta=0.05
  )
  np.testing.assert_allclose((encoder, decoder), (105.0, 135.0))


def test_the_paper_s_losses_have_the_values_of_the_sheet():
  energies = [jnp.array([100.0]), jnp.array([130.0])]
  hinges = [introspective.margin_hinge(e, 120.0) for e in energies]
  half = jnp.array([200.0])
  real = jnp.array([80.0])
  encoder = introspective.encoder_loss(
    real, hinges, half, alpha=0.25, beta=0.05
  )
  decoder = introspective.decoder_loss(energies, half, alpha=0.25, beta=0.05)
  np.testing.assert_allclose(encoder, [95.0])
  np.testing.assert_allclose(decoder, [67.5])


def test_the_hinge_of_the_mean_is_not_the_mean_of_the_hinges():
  energy = jnp.array([0.0, 240.0])
  assert float(introspective.margin_hinge_of_mean(energy, 120.0)) == 0.0
  assert float(introspective.margin_hinge(energy, 120.0).mean()) == 60.0


def test_the_hinge_pushes_below_the_margin_only():
  energy = jnp.array([10.0, 119.0, 121.0, 500.0])
  push = jax.grad(lambda e: introspective.margin_hinge(e, 120.0).sum())(energy)
  np.testing.assert_array_equal(push, [-1.0, -1.0, 0.0, 0.0])
  whole = jax.grad(lambda e: introspective.margin_hinge_of_mean(e, 120.0))
  np.testing.assert_array_equal(whole(energy), [0.0] * 4)
  np.testing.assert_allclose(whole(energy / 10), [-0.25] * 4)


@pytest.mark.parametrize(
  "a,b,least,where", [(0.5, 1.0, 60.0, 120.0), (1.0, 0.5, 60.0, 0.0)]
)
def test_the_saddle_point_lemma_holds(a, b, least, where):
  """f(y) = a y + b [m - y]^+ has its least value at m or at 0 (EBGAN)."""
  y = jnp.linspace(0.0, 240.0, 2401)
  f = a * y + b * introspective.margin_hinge(y, 120.0)
  np.testing.assert_allclose(f.min(), least, rtol=1e-5)
  np.testing.assert_allclose(y[f.argmin()], where, atol=1e-3)


def test_age_s_divergence_is_that_of_the_batch_s_gaussian():
  codes = jax.random.normal(jax.random.key(0), (64, 3)) * 2.0 + 1.0
  mean, log_var = codes.mean(0)[None], jnp.log(codes.var(0))[None]
  np.testing.assert_allclose(
    introspective.batch_statistics_kl(codes),
    elbo.kl_standard_normal(mean, log_var)[0],
    rtol=1e-5,
  )
  white = (codes - codes.mean(0, keepdims=True)) / codes.std(0, keepdims=True)
  np.testing.assert_allclose(
    introspective.batch_statistics_kl(white), 0.0, atol=1e-5
  )
  alike = jnp.ones((4, 2))
  assert np.isfinite(introspective.batch_statistics_kl(alike))


def test_the_soft_loss_has_the_value_of_the_sheet():
  bound = introspective.scaled_elbo(
    jnp.array([2560.0]),
    jnp.array([0.0]),
    scale=1.0 / (3 * 32 * 32),
    beta_reconstruction=1.0,
    beta_kl=256.0,
  )
  value = introspective.exponential_elbo(bound, 2.0)
  np.testing.assert_allclose(2.0 * value, [0.1888756], rtol=1e-5)


def test_the_soft_loss_fades_as_samples_get_worse():
  """Its gradient is that of the ELBO times exp(2 ELBO): bounded by 1."""
  bounds = jnp.array([0.0, -1.0, -20.0])
  push = jax.grad(lambda b: introspective.exponential_elbo(b, 2.0).sum())(
    bounds
  )
  np.testing.assert_allclose(push, np.exp(2.0 * np.asarray(bounds)), rtol=1e-6)


def test_losses_of_the_wrong_rank_are_refused():
  for loss in (
    lambda: introspective.margin_hinge(jnp.zeros(()), 1.0),
    lambda: introspective.exponential_elbo(jnp.zeros((2, 2)), 2.0),
    lambda: introspective.batch_statistics_kl(jnp.zeros(3)),
  ):
    with pytest.raises(AssertionError):
      loss()


def test_losses_of_unlike_shapes_are_refused():
  column, row = jnp.ones((3, 1)), jnp.ones(3)
  weights = {"alpha": 1.0, "beta": 1.0}
  with pytest.raises(AssertionError, match="shapes"):
    introspective.encoder_loss(row, [column], row, **weights)
  with pytest.raises(AssertionError, match="shapes"):
    introspective.decoder_loss([jnp.ones(4)], row, **weights)
  with pytest.raises(AssertionError, match="shape"):
    introspective.scaled_elbo(
      jnp.ones(4), jnp.ones(1), scale=1.0, beta_reconstruction=1.0, beta_kl=1.0
    )
