"""Laws of priors that are fitted to codes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genlat import priors
from genlat.priors import Fitted
from genlat.priors.flow import FlowPrior
from genlat.priors.gaussian import Gaussian
from genlat.priors.mixture import Mixture
from tests import shipped

COV = np.array([[1.0, 0.6], [0.6, 0.5]])
MEAN = np.array([1.0, -2.0])


def codes(n: int = 4000) -> np.ndarray:
  draws = np.random.default_rng(0).standard_normal((n, 2))
  return MEAN + draws @ np.linalg.cholesky(COV).T


def ring(n: int = 2000) -> np.ndarray:
  """Eight Gaussians on a circle."""
  rng = np.random.default_rng(1)
  angle = 2 * np.pi * rng.integers(8, size=n) / 8
  centres = 2.0 * np.stack([np.cos(angle), np.sin(angle)], 1)
  return centres + 0.1 * rng.standard_normal((n, 2))


FLOW = FlowPrior(
  dimension=2,
  blocks=4,
  hidden=32,
  coupling="affine",
  clamp=2.0,
  bins=8,
  bound=5.0,
  epochs=30.0,
  batch_size=128,
  lr=3e-3,
)
LAWS = {"gaussian": Gaussian(), "mixture": Mixture(8), "flow": FLOW}


@functools.cache
def on_ring(name: str):
  """The prior's parameters, fitted to the ring."""
  return LAWS[name].fit(ring(), 0)


def nll(law, params, z) -> float:
  return -float(law.log_prob(params, jnp.asarray(z, jnp.float32)).mean())


def test_a_gaussian_reaches_the_entropy_of_gaussian_codes():
  z = codes()
  params = LAWS["gaussian"].fit(z, 0)
  entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(z.T, ddof=0))[1]
  assert nll(LAWS["gaussian"], params, z) == pytest.approx(entropy, abs=1e-4)


def test_a_flow_nears_the_entropy_of_gaussian_codes_and_never_beats_it():
  z, held = codes(6000)[:2000], codes(6000)[2000:]
  entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * COV)[1]
  got = nll(FLOW, FLOW.fit(z, 0), held)
  exact = -scipy.stats.multivariate_normal(MEAN, COV).logpdf(held).mean()
  assert abs(exact - entropy) < 0.05
  assert exact - 0.02 < got < exact + 0.06


def test_a_mixture_of_one_is_the_gaussian():
  z = codes(500)
  one, gaussian = Mixture(1), LAWS["gaussian"]
  a = one.log_prob(one.fit(z, 0), jnp.asarray(z, jnp.float32))
  b = gaussian.log_prob(gaussian.fit(z, 0), jnp.asarray(z, jnp.float32))
  np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["mixture", "flow"])
def test_a_richer_prior_beats_the_gaussian_on_a_ring_and_covers_it(name):
  z, law, params = ring(), LAWS[name], on_ring(name)
  gaussian = LAWS["gaussian"]
  assert nll(law, params, z) < nll(gaussian, gaussian.fit(z, 0), z) - 0.5
  draws = np.asarray(law.sample(params, jax.random.key(0), 2000))
  modes = np.round(np.arctan2(draws[:, 1], draws[:, 0]) / (np.pi / 4)) % 8
  counts = np.bincount(modes.astype(int), minlength=8) / 2000
  assert counts.min() > 0.04


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_samples_have_the_moments_of_the_codes(name):
  z, law = codes(), LAWS[name]
  draws = np.asarray(
    law.sample(law.fit(z, 0), jax.random.key(0), 20000), np.float64
  )
  np.testing.assert_allclose(draws.mean(0), z.mean(0), atol=0.05)
  np.testing.assert_allclose(np.cov(draws.T), np.cov(z.T), atol=0.06)


@pytest.mark.parametrize("name", ["gaussian", "mixture", "flow"])
def test_a_density_integrates_to_one(name):
  law, params = LAWS[name], on_ring(name)
  side = np.linspace(-5.0, 5.0, 401)
  points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
  density = np.exp(law.log_prob(params, jnp.asarray(points, jnp.float32)))
  assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["gaussian", "mixture", "flow"])
def test_a_stored_prior_is_the_same_law(name, tmp_path):
  law, params = LAWS[name], on_ring(name)
  priors.save(tmp_path, 7, Fitted(name, law, params))
  assert priors.load(tmp_path, 8) is None
  back = priors.load(tmp_path, 7)
  assert back is not None and (back.name, back.law) == (name, law)
  z = jnp.asarray(ring(16), jnp.float32)
  np.testing.assert_array_equal(
    law.log_prob(params, z), back.law.log_prob(back.params, z)
  )


def test_the_law_comes_from_the_configuration():
  for name, kind in (("mixture", Mixture), ("flow", FlowPrior)):
    config = shipped.config("ae_mnist", prior__name=name)
    assert isinstance(priors.from_config(config), kind)
  with pytest.raises(ValueError, match="config.prior.name.*'vamp'"):
    priors.from_config(shipped.config("ae_mnist", prior__name="vamp"))


def test_codes_that_no_law_fits_are_refused():
  with pytest.raises(ValueError, match="finite"):
    LAWS["gaussian"].fit(np.full((10, 2), np.nan), 0)
  with pytest.raises(ValueError, match=r"\[N, d\]"):
    LAWS["mixture"].fit(np.zeros((4, 2)), 0)
  with pytest.raises(ValueError, match="2 dimensions"):
    FLOW.fit(np.zeros((256, 3)), 0)
