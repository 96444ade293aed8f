"""Laws of the VAE family: bounds, limits, and what reduces to what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genlat import state as states
from genlat.methods.autoencoding import run_flow
from tests import shipped

BERNOULLI = {
  "likelihood__name": "bernoulli",
  "likelihood__activation": "sigmoid",
  "data__binarise": "dynamic",
}


@functools.cache
def vae(**changes):
  config = shipped.config("vae_mnist", "smoke", **changes)
  method = shipped.build(config)
  return method, shipped.start(method, config), shipped.batch(config)


def data(method, batch, draws, seed=5):
  shape = (len(batch["image"]), draws, method.nets.latent)
  noise = jax.random.normal(jax.random.key(seed), shape)
  return {"image": batch["image"], "noise": noise}


def terms(method, state, batch, draws):
  return method.terms(
    state.params, state, data(method, batch, draws), train=False
  )[0]


def flow_is_identity(state):
  """Zero weights: every subnet gives 0, so that a flow only permutes."""
  flow = jax.tree.map(jnp.zeros_like, state.params["flow"])
  return state.replace(params=state.params | {"flow": flow})


def far_from_the_prior(state):
  """Posteriors that differ from the prior, as after training."""
  encoder = state.params["encoder"]
  head = encoder["head"] | {"kernel": 2e4 * encoder["head"]["kernel"]}
  params = state.params | {"encoder": encoder | {"head": head}}
  return state.replace(params=params)


def test_the_draws_kl_has_the_closed_form_as_its_mean():
  method, state, batch = vae(**BERNOULLI)
  got = terms(method, far_from_the_prior(state), batch, 4000)
  draws = got["log_q"] - got["log_p"]
  error = np.asarray(draws.std(1)) / np.sqrt(4000)
  closed = np.asarray(method.kl(got))
  assert closed.min() > 0.1
  assert (np.abs(np.asarray(draws.mean(1)) - closed) < 5 * error + 1e-4).all()


@pytest.mark.parametrize("kind", ["prior", "posterior"])
def test_with_an_identity_flow_it_is_the_vae(kind):
  flowing, state, batch = vae(**{f"vae__{kind}": "flow"})
  state = far_from_the_prior(flow_is_identity(state))
  plain, _, _ = vae()
  got = terms(flowing, state, batch, 4000)
  # The entropy is exact with a flow prior, so log q is not part of the error.
  drawn = got["log_p"] if kind == "prior" else got["log_q"] - got["log_p"]
  error = np.asarray(drawn.std(1)) / np.sqrt(4000)
  wanted = np.asarray(plain.kl(got))
  assert (np.abs(np.asarray(flowing.kl(got)) - wanted) < 5 * error + 1e-4).all()


@pytest.mark.parametrize("kind", ["prior", "posterior"])
def test_a_flow_pays_the_logarithm_of_its_jacobian(kind):
  """Both densities by change of variables, the Jacobian by autodiff."""
  method, state, batch = vae(**{f"vae__{kind}": "flow"})
  state = far_from_the_prior(state)
  flow = jax.tree.map(lambda w: 4.0 * w, state.params["flow"])
  state = state.replace(params=state.params | {"flow": flow})
  got = terms(method, state, batch, 1)
  noise = data(method, batch, 1)["noise"][:, 0]
  drawn = got["mean"] + jnp.exp(0.5 * got["log_var"]) * noise

  def forward(z):
    out, _, _ = run_flow(method.flow, state.params, state.stats, z[None])
    return out[0]

  jacobian = jax.vmap(jax.jacfwd(forward))(drawn)
  logdet = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
  assert np.abs(logdet).max() > 0.1
  out = np.asarray(jax.vmap(forward)(drawn), np.float64)
  log_out = scipy.stats.norm.logpdf(out).sum(-1)
  scale = np.exp(0.5 * np.asarray(got["log_var"], np.float64))
  log_q = scipy.stats.norm.logpdf(drawn, got["mean"], scale).sum(-1)
  if kind == "prior":
    log_p = log_out + logdet
  else:
    log_p, log_q = log_out, log_q - logdet
  np.testing.assert_allclose(got["log_p"][:, 0], log_p, rtol=1e-4)
  np.testing.assert_allclose(got["log_q"][:, 0], log_q, rtol=1e-4)


def test_one_importance_sample_is_the_bound_and_more_are_tighter():
  method, state, batch = vae(**BERNOULLI)
  bounds = {}
  got = terms(method, far_from_the_prior(state), batch, 64)
  weights = got["log_p"] - got["log_q"] - got["reconstruction"]
  for k in (1, 8, 64):
    groups = weights.reshape(len(weights), -1, k)
    logs = jax.nn.logsumexp(groups, -1) - jnp.log(k)
    bounds[k] = float(logs.mean())
  np.testing.assert_allclose(bounds[1], float(weights.mean()), rtol=1e-5)
  assert bounds[1] < bounds[8] < bounds[64]


def test_log_weights_are_the_terms():
  method, state, batch = vae(**BERNOULLI)
  key = jax.random.key(3)
  shape = (len(batch["image"]), 1, method.nets.latent)
  got, _ = method.terms(
    state.params,
    state,
    {"image": batch["image"], "noise": jax.random.normal(key, shape)},
    train=False,
  )
  wanted = (got["log_p"] - got["log_q"] - got["reconstruction"])[:, 0]
  np.testing.assert_allclose(
    method.log_weights(state, batch, jax.random.key(3)), wanted, rtol=1e-6
  )


def shaken(tree):
  """The weights with noise on them."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda a: a + 0.3 * rng.normal(size=a.shape).astype(a.dtype), tree
  )


def test_samples_go_through_the_inverse_of_a_flow_prior_alone():
  key = jax.random.key(5)
  images, decoded = {}, {}
  for kind in ("prior", "posterior"):
    method, state, _ = vae(**{f"vae__{kind}": "flow"})
    moved = {net: shaken(state.params[net]) for net in ("flow", "decoder")}
    state = state.replace(params=state.params | moved)
    noise = jax.random.normal(key, (4, method.nets.latent))
    there, back = (
      run_flow(method.flow, state.params, state.stats, noise, inverse=inverse)[
        0
      ]
      for inverse in (False, True)
    )
    codes = {"there": there, "back": back, "noise": noise}
    decoded[kind] = {k: method.decode(state, z) for k, z in codes.items()}
    images[kind] = method.sample(state, key, 4)
  for kind, right in (("prior", "back"), ("posterior", "noise")):
    for way, wanted in decoded[kind].items():
      error = np.abs(images[kind] - wanted).max()
      assert (error < 1e-5) if way == right else (error > 1e-3), (kind, way)


def test_without_a_density_there_is_no_bound():
  method, state, batch = vae()
  assert not method.bounded
  with pytest.raises(ValueError, match="no density.*config.likelihood.name"):
    method.log_weights(state, batch, jax.random.key(0))


def test_iwae_with_a_gradient_of_the_weighted_samples():
  # Burda et al. 2015: sum_i w~_i grad log w_i, w~ the normalised weights.
  method, state, batch = vae(vae__samples=3, **BERNOULLI)
  given = data(method, batch, 3)

  def log_weights(params):
    got, _ = method.terms(params, state, given, train=True)
    return got["log_p"] - got["log_q"] - got["reconstruction"]

  @jax.jit
  def by_hand(params):
    share = jax.nn.softmax(log_weights(params), -1)
    return jax.grad(lambda p: -(share * log_weights(p)).sum(1).mean())(params)

  ours = jax.jit(jax.grad(lambda p: method.loss(state, p, given)[0]))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    ours(state.params),
    by_hand(state.params),
  )


def test_the_limit_of_vanishing_noise_is_glf():
  """2 s^2 (rec / 2 s^2 + L_nll - H) -> SSE as s -> 0 (glf.md 1.4)."""
  cosines, gaps = [], []
  ae_config = shipped.config("ae_mnist", "smoke")
  ae = shipped.build(ae_config)
  for s in (1.0, 0.1, 1e-5):
    weight = 1.0 / (2.0 * s**2)
    method, state, batch = vae(vae__prior="flow", vae__reconstruction=weight)
    given = data(method, batch, 1)
    state = _with_small_noise(state, method, s)

    def scaled(params, method=method, given=given, state=state, w=weight):
      return method.loss(state, params, given)[0] / w

    def plain(params, batch=batch, state=state):
      half = params["encoder"]["head"]
      d = ae.nets.latent
      head = {"kernel": half["kernel"][:, :d], "bias": half["bias"][:d]}
      encoder = params["encoder"] | {"head": head}
      codes, _ = ae.nets.encode(
        {"encoder": encoder}, state.stats, batch["image"], train=True
      )
      raw, _ = ae.nets.decode(params, state.stats, codes, train=True)
      image = ae.nets.observation.image(raw)
      return jnp.square(image - batch["image"]).sum((1, 2, 3)).mean()

    values, grads = zip(
      *(jax.jit(jax.value_and_grad(f))(state.params) for f in (scaled, plain)),
      strict=True,
    )
    vectors = [_mean_head(g["encoder"], ae.nets.latent) for g in grads]
    dot = vectors[0] @ vectors[1]
    cosines.append(dot / np.prod([np.linalg.norm(v) for v in vectors]))
    gaps.append(abs(float(values[0] - values[1])))
  assert cosines[0] < cosines[2] and cosines[2] > 0.9999
  assert gaps[2] < 1e-2 < gaps[0]


def _with_small_noise(state: states.State, method, s: float):
  """The posterior's log-variance is 2 log s whatever the image."""
  head, d = state.params["encoder"]["head"], method.nets.latent
  head = {
    "kernel": head["kernel"].at[:, d:].set(0.0),
    "bias": head["bias"].at[d:].set(2.0 * jnp.log(s)),
  }
  encoder = state.params["encoder"] | {"head": head}
  return state.replace(params=state.params | {"encoder": encoder})


def _mean_head(encoder, d: int) -> np.ndarray:
  """Gradient of all encoder weights but those of the log-variance."""
  rest = {k: v for k, v in encoder.items() if k != "head"}
  leaves = [*jax.tree.leaves(rest), encoder["head"]["kernel"][:, :d]]
  return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


def test_learned_scale_moves_to_the_error_of_the_pixels():
  """Dai & Wipf 2019: at the optimum gamma^2 is the mean squared error."""
  changes = {
    "likelihood__name": "gaussian",
    "likelihood__learned_scale": True,
  }
  method, state, batch = vae(**changes)

  def nll(log_scale):
    raw = jnp.zeros(batch["image"].shape)
    params = {"scale": {"log_scale": log_scale}}
    return method.nets.observation.nll(raw, batch["image"], params, {}).mean()

  mse = float(jnp.square(batch["image"] - 0.5).mean())
  np.testing.assert_allclose(jax.grad(nll)(0.5 * np.log(mse)), 0.0, atol=0.05)
  assert "scale" in method.players["vae"].nets
  assert float(state.params["scale"]["log_scale"]) == 0.0


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"vae__prior": "nice"}, "config.vae.prior.*flow, gaussian.*'nice'"),
    (
      {"vae__prior": "flow", "vae__posterior": "flow"},
      "one flow serves the prior or the posterior",
    ),
    ({"vae__samples": 5}, "needs a density"),
    ({"vae__samples": 5, "vae__beta": 2.0}, "no weights"),
    ({"vae__beta": -1.0}, "at least 0"),
    ({"likelihood__name": "cauchy"}, "config.likelihood.name.*'cauchy'"),
    ({"likelihood__scale": 0.0}, "config.likelihood.scale"),
    ({"likelihood__learned_scale": True}, "gaussian or logistic"),
    ({"model__dtype": "float16"}, "config.model.dtype.*'float16'"),
    ({"optimizer__name": "lion"}, "config.optimizer.name.*'lion'"),
    ({"optimizer__schedule": "poly"}, "config.optimizer.schedule.*'poly'"),
    ({"optimizer__lr": 0.0}, "config.optimizer.lr.*above 0"),
    ({"optimizer__weight_decay": 0.1}, "adamw"),
  ],
)
def test_values_that_make_no_model_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    shipped.build(shipped.config("vae_mnist", "smoke", **changes))
