"""Laws of GLF: the stop-gradient, the two players, the sheet's counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import optimizers
from genlat import state as states
from genlat.losses.flow import flow_nll
from tests import shipped


@functools.cache
def glf(**changes):
  config = shipped.config("glf_mnist", "smoke", **changes)
  method = shipped.build(config)
  return method, shipped.start(method, config), shipped.batch(config)


def test_parameter_counts_are_those_of_the_sheet():
  sheet = {
    "glf_mnist:official": (13_175_829, 92_320),
    "glf_mnist": (13_175_829, 88_224),
    "glf_cifar10:official": (17_208_003, 1_335_808),
    "glf_celeba": (67_613_379, 1_319_424),
  }
  for name, (autoencoder, flow) in sheet.items():
    config = shipped.config(*name.split(":"))
    method = shipped.build(config)
    key = jax.random.key(0)
    params = jax.eval_shape(method.init, key, shipped.batch(config)).params
    count = {
      net: sum(leaf.size for leaf in jax.tree.leaves(tree))
      for net, tree in params.items()
    }
    assert count["encoder"] + count["decoder"] == autoencoder
    assert count["flow"] == flow


def gradients(method, state, batch, loss):
  data = {
    "image": batch["image"],
    "noise": jnp.zeros((8, method.nets.latent)),
  }
  grad = jax.jit(jax.grad(lambda p: loss(state, p, data)[0]))
  return {
    net: float(sum(jnp.abs(g).sum() for g in jax.tree.leaves(tree)))
    for net, tree in grad(state.params).items()
  }


def test_the_nll_reaches_the_flow_alone_and_exactly():
  method, state, batch = glf()
  total = gradients(method, state, batch, method.flow_loss)
  assert total["encoder"] == 0.0 and total["decoder"] == 0.0
  assert total["flow"] > 0.0


def test_the_reconstruction_reaches_the_autoencoder_alone():
  method, state, batch = glf()
  total = gradients(method, state, batch, method.autoencoder_loss)
  assert total["flow"] == 0.0
  assert total["encoder"] > 0.0 and total["decoder"] > 0.0


def test_without_the_stop_gradient_the_nll_reaches_the_encoder():
  free, state, batch = glf(glf__stop_gradient=False)
  stopped, _, _ = glf()
  data = {
    "image": batch["image"],
    "noise": jnp.zeros((8, free.nets.latent)),
  }

  def encoder_gradient(method):
    grad = jax.grad(lambda p: method.autoencoder_loss(state, p, data)[0])
    return jax.tree.leaves(jax.jit(grad)(state.params)["encoder"])

  pairs = zip(encoder_gradient(free), encoder_gradient(stopped), strict=True)
  assert any(not np.allclose(a, b) for a, b in pairs)


@pytest.mark.parametrize(
  "change",
  [{"flow__hidden": 8}, {"flow__blocks": 2}, {"glf__code_noise": 0.1}],
)
def test_the_autoencoder_does_not_feel_the_flow(change):
  path, flow = {}, {}
  for name, changes in (("plain", {}), ("changed", change)):
    method, state, batch = glf(**changes)
    step = jax.jit(method.train_step)
    for i in range(3):
      state, _ = step(state, batch, jax.random.key(i))
    path[name] = {k: state.params[k] for k in ("encoder", "decoder")}
    flow[name] = jax.tree.leaves(state.params["flow"])
  jax.tree.map(np.testing.assert_array_equal, path["plain"], path["changed"])
  pairs = zip(flow["plain"], flow["changed"], strict=False)
  assert len(flow["plain"]) != len(flow["changed"]) or any(
    x.shape != y.shape or np.any(x != y) for x, y in pairs
  )


def test_the_weight_of_the_reconstruction_does_not_move_the_flow():
  flows = []
  for beta in (1.0, 7.0):
    method, state, batch = glf(glf__beta=beta)
    data = {
      "image": batch["image"],
      "noise": jnp.zeros((8, method.nets.latent)),
    }
    grad = jax.grad(
      lambda p, m=method, d=data, s=state: m.flow_loss(s, p, d)[0]
    )
    flows.append(jax.jit(grad)(state.params)["flow"])
  jax.tree.map(np.testing.assert_array_equal, *flows)


def test_both_players_move_from_the_same_weights():
  method, state, batch = glf(optimizer__name="sgd", optimizer__lr=0.01)
  after, metrics = jax.jit(method.train_step)(state, batch, jax.random.key(0))
  codes, _ = method.nets.encode(
    state.params, state.stats, batch["image"], train=True
  )
  (noise, logdet), _ = states.apply(
    method.flow, state.params["flow"], {}, codes, train=True
  )
  np.testing.assert_allclose(
    metrics["flow_nll"], flow_nll(noise, logdet).mean(), rtol=1e-5
  )
  assert int(after.step) == 1


def test_sampling_inverts_the_flow_of_the_codes():
  method, state, batch = glf()
  codes = method.encode(state, batch["image"])
  (noise, _), _ = states.apply(
    method.flow, state.params["flow"], {}, codes, train=False
  )
  (back, _), _ = states.apply(
    method.flow, state.params["flow"], {}, noise, train=False, method="inverse"
  )
  np.testing.assert_allclose(back, codes, atol=1e-5)


def test_samples_are_decoded_from_the_flow_s_inverse():
  method, state, _ = glf()
  rng = np.random.default_rng(0)
  far = jax.tree.map(
    lambda a: a + 0.3 * rng.normal(size=a.shape).astype(a.dtype),
    state.params["flow"],
  )
  state = state.replace(params={**state.params, "flow": far})
  key = jax.random.key(5)
  noise = jax.random.normal(key, (4, method.nets.latent))
  there, back = (
    states.apply(method.flow, far, {}, noise, train=False, **how)[0][0]
    for how in ({}, {"method": "inverse"})
  )
  assert np.abs(there - back).max() > 0.5
  images = method.sample(state, key, 4)
  np.testing.assert_allclose(images, method.decode(state, back), atol=1e-5)
  assert np.abs(images - method.decode(state, there)).max() > 1e-4


def test_decoded_images_and_targets_share_one_range():
  # The official code compares targets in [-1, 1] with outputs in [0, 1]
  # (glf.md 1.6): a decoder far out must reach both ends of the data.
  for activation in ("tanh", "sigmoid"):
    method, _, _ = glf(likelihood__activation=activation)
    ends = method.nets.observation.image(jnp.array([-50.0, 0.0, 50.0]))
    np.testing.assert_allclose(ends, [0.0, 0.5, 1.0], atol=1e-6)


def test_samples_do_not_depend_on_the_batch_they_are_made_in():
  # The official script samples with batch statistics (glf.md 1.6).
  method, state, batch = glf()
  codes = method.encode(state, batch["image"])
  alone = method.decode(state, codes[:1])
  np.testing.assert_allclose(alone, method.decode(state, codes)[:1], atol=1e-5)
  own, _, _ = glf(evaluation__batch_statistics=True)
  alone = own.decode(state, codes[:2])
  assert not np.allclose(alone, own.decode(state, codes)[:2], atol=1e-4)


def test_images_are_not_stretched_to_their_own_range():
  # The official script stretches every image to its min and max (1.6).
  from genlat.generation import to_uint8

  grey = jnp.array([[0.25, 0.5]])
  np.testing.assert_array_equal(to_uint8(grey), [[64, 128]])


def test_an_autoencoder_alone_goes_the_same_way():
  """One or two stages: the same seed, the same codes (glf.md 1.1, 7).

  Not bit for bit: XLA orders the sums of two programs as it likes.
  """
  method, state, batch = glf()
  config = shipped.config("ae_mnist", "smoke")
  alone = shipped.build(config)
  other = shipped.start(alone, config)
  step, single = jax.jit(method.train_step), jax.jit(alone.train_step)
  for i in range(2):
    state, _ = step(state, batch, jax.random.key(i))
    other, _ = single(other, batch, jax.random.key(i))
  for net in ("encoder", "decoder"):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      state.params[net],
      other.params[net],
    )


def test_the_shipped_configurations_have_the_settings_of_the_paper():
  """glf.md 2.1 and 3."""
  sheet = {
    "glf_mnist": (20, 64, 100.0, "step"),
    "glf_fashion_mnist": (20, 64, 100.0, "step"),
    "glf_cifar10": (64, 256, 200.0, "step"),
    "glf_celeba": (64, 256, 40.0, "constant"),
  }
  for name, (latent, hidden, epochs, schedule) in sheet.items():
    config = shipped.config(name)
    assert (config.model.latent, config.flow.hidden) == (latent, hidden)
    assert (config.epochs, config.optimizer.schedule) == (epochs, schedule)
    assert (config.batch_size, config.flow.blocks) == (256, 4)
    ae = optimizers.settings_of(config, "autoencoder")
    flow = optimizers.settings_of(config, "flow")
    assert (ae.lr, ae.b1, ae.b2, ae.l2) == (1e-3, 0.9, 0.999, 0.0)
    assert (flow.lr, flow.b1, flow.b2) == (1e-3, 0.8, 0.9)
    assert (flow.eps, flow.l2) == (1e-6, 2e-5)
    assert (ae.decay_every, ae.decay_factor) == (50.0, 0.5)
  official = shipped.config("glf_mnist", "official").flow
  assert official.batch_norm and official.bn_momentum == 0.9**2


def test_batchnorm_keeps_pytorchs_share_of_its_averages():
  method, state, batch = glf()
  before = state.stats["encoder"]
  _, after = method.nets.encode(
    state.params, state.stats, batch["image"] + 1.0, train=True
  )
  _, again = method.nets.encode(
    state.params, {"encoder": after}, batch["image"] + 1.0, train=True
  )
  # m' = 0.9 m + 0.1 batch, twice with one batch: m'' - m' = 0.9 (m' - m).
  jax.tree.map(
    lambda m, a, b: np.testing.assert_allclose(
      b - a, 0.9 * (a - m), rtol=1e-3, atol=1e-6
    ),
    before,
    after,
    again,
  )
