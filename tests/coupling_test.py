"""Coupling flows: exact log-determinants, exact inverses, known goldens."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.losses import flow as flow_losses
from genlat.nets import coupling, spline

KINDS = ("affine", "additive", "spline")


def _flow(kind, dimension=5, scale=3.0, **fields):
  """A flow far from the identity, its variables and some codes.

  The weights are drawn by NumPy, which compiles nothing, in the precision
  that is switched on.
  """
  fields = {"blocks": 2, "hidden": 7, "coupling": kind, "bound": 3.0} | fields
  net = coupling.Flow(dimension, **fields)
  dtype = jnp.result_type(float)
  random = np.random.default_rng(0)
  draw = lambda x: 0.05 * scale * random.normal(size=x.shape)
  z = 2.0 * random.normal(size=(6, dimension)).astype(dtype)
  variables = _shapes(net)
  stats = variables.get("batch_stats", {})
  variables["params"] = jax.tree.map(
    lambda x: draw(x).astype(dtype), variables["params"]
  )
  variables["batch_stats"] = jax.tree.map(
    lambda x: np.exp(random.normal(size=x.shape)).astype(dtype), stats
  )
  return net, variables, z


def _shapes(net):
  init = functools.partial(net.init, train=False)
  z = jnp.zeros((1, net.dimension))
  return jax.eval_shape(init, jax.random.key(0), z)


@functools.lru_cache
def _compiled(net, how):
  """One compilation for all tests that run a flow in the same way."""
  return jax.jit(functools.partial(net.apply, **dict(how)))


def _apply(net, variables, x, **how):
  how = {"train": False} | how
  return _compiled(net, tuple(how.items()))(variables, x)


def _count(**fields):
  params = _shapes(coupling.Flow(**fields))["params"]
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
  "kind,batch_norm", [(kind, False) for kind in KINDS] + [("affine", True)]
)
def test_logdet_is_that_of_the_jacobian(kind, batch_norm):
  with jax.enable_x64(True):
    net, variables, z = _flow(kind, batch_norm=batch_norm)
    run = functools.partial(net.apply, variables, train=False)
    one = jax.jacfwd(lambda z: run(z[None])[0][0])
    jacobian = jax.jit(jax.vmap(one))(z)
    _, logdet = _apply(net, variables, z)
    assert logdet.dtype == jnp.float64
    np.testing.assert_allclose(
      logdet, np.linalg.slogdet(jacobian)[1], atol=1e-10
    )
    if kind != "additive":
      assert jnp.abs(logdet).min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_undoes_the_flow_and_negates_its_logdet(kind):
  with jax.enable_x64(True):
    net, variables, z = _flow(kind)
    e, logdet = _apply(net, variables, z)
    back, minus = _apply(net, variables, e, method="inverse")
    np.testing.assert_allclose(back, z, atol=1e-10)
    np.testing.assert_allclose(minus, -logdet, atol=1e-10)
    assert jnp.abs(e - z).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_holds_in_float32(kind):
  net, variables, z = _flow(kind, scale=1.0)
  e, _ = _apply(net, variables, z)
  back, _ = _apply(net, variables, e, method="inverse")
  np.testing.assert_allclose(back, z, atol=1e-4)


def test_a_stack_is_the_sum_of_its_blocks():
  with jax.enable_x64(True):
    net, variables, z = _flow("affine", blocks=2)
    e, logdet = _apply(net, variables, z)
    total = jnp.zeros(len(z))
    for k in range(2):
      params = {
        f"{half}_0": variables["params"][f"{half}_{k}"]
        for half in ("first", "second")
      }
      one = net.clone(blocks=1, seed=k)
      z, part = _apply(one, {"params": params}, z)
      total += part
    np.testing.assert_allclose(z, e, atol=1e-12)
    np.testing.assert_allclose(total, logdet, atol=1e-12)


def test_permutations_are_those_of_legacy_numpy():
  six = [[5, 2, 1, 3, 0, 4], [2, 1, 4, 0, 3, 5]]
  six += [[4, 1, 3, 2, 5, 0], [3, 5, 4, 1, 0, 2]]
  net = coupling.Flow(6)
  assert [net.permutation(k).tolist() for k in range(4)] == six
  zero = "18 1 19 8 10 17 6 13 4 2 5 14 9 7 16 11 3 0 15 12"
  one = "3 16 6 10 2 14 4 17 7 1 13 0 19 18 9 15 8 12 11 5"
  for k, golden in enumerate((zero, one)):
    expected = [int(i) for i in golden.split()]
    assert coupling.Flow(20).permutation(k).tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_zero_weights_only_permute(kind):
  net, variables, z = _flow(kind, dimension=6, scale=0.0, blocks=3)
  e, logdet = _apply(net, variables, z)
  for k in range(3):
    z = z[:, net.permutation(k)]
  np.testing.assert_allclose(e, z, atol=1e-5)
  np.testing.assert_allclose(logdet, 0.0, atol=1e-5)


def test_single_block_with_constant_subnets_has_its_closed_form():
  net, variables, z = _flow("affine", dimension=5, scale=0.0, blocks=1)
  half = variables["params"]["first_0"]
  half["scale"]["head"]["bias"] += 0.7
  half["shift"]["head"]["bias"] += -1.5
  e, logdet = _apply(net, variables, z)
  log_scale = 2.0 * 0.636 * math.atan(0.7)
  expected = np.array(z)
  expected[:, :2] = math.exp(log_scale) * expected[:, :2] - 1.5
  np.testing.assert_allclose(e, expected[:, net.permutation(0)], rtol=1e-5)
  np.testing.assert_allclose(logdet, 2 * log_scale, rtol=1e-5)


def test_log_scale_is_bounded_by_the_clamp():
  net, variables, z = _flow("affine", dimension=4, scale=0.0, blocks=1)
  variables["params"]["first_0"]["scale"]["head"]["bias"] += 1e6
  _, logdet = _apply(net, variables, z)
  np.testing.assert_allclose(logdet / 2, 1.99805, atol=1e-4)


def test_parameter_counts_are_those_of_the_paper():
  small = {"dimension": 20, "hidden": 64}
  large = {"dimension": 64, "hidden": 256}
  assert _count(**small, batch_norm=True) == 92_320
  assert _count(**small) == 88_224
  assert _count(**large, batch_norm=True) == 1_335_808
  assert _count(**large) == 1_319_424


@pytest.mark.parametrize("batch_norm", [False, True])
def test_flow_starts_near_a_permutation(batch_norm):
  net, variables, _ = _flow(
    "affine", 20, 1.0, blocks=4, hidden=64, batch_norm=batch_norm
  )
  z = np.random.default_rng(1).normal(size=(256, 20)).astype(np.float32)
  how = {"train": True, "mutable": "batch_stats"}
  (e, logdet), _ = _apply(net, variables, z, **how)
  nll = flow_losses.flow_nll(e, logdet)
  gaussian = 0.5 * np.square(z).sum(-1) + 10.0 * math.log(2.0 * math.pi)
  np.testing.assert_allclose(nll.mean(), gaussian.mean(), rtol=0.05)
  for k in range(4):
    z = z[:, net.permutation(k)]
  assert 0.05 < np.sqrt(np.square(e - z).mean()) < 0.4


def test_all_trainables_start_from_deviation_one_twentieth():
  net = coupling.Subnet(128, 128, batch_norm=True, momentum=0.9)
  z = jnp.zeros((2, 128))
  params = net.init(jax.random.key(0), z, train=False)["params"]
  leaves = jax.tree.leaves(params)
  assert len(leaves) == 10
  for values in leaves:
    np.testing.assert_allclose(values.std(), 0.05, rtol=0.2)
    np.testing.assert_allclose(values.mean(), 0.0, atol=0.015)


def test_batch_norm_inverts_only_under_the_same_statistics():
  with jax.enable_x64(True):
    net, variables, z = _flow("affine", batch_norm=True)
    run = functools.partial(_apply, net, variables, mutable="batch_stats")
    (e, _), _ = run(z, train=True)
    (back, _), _ = run(e, train=True, method="inverse")
    np.testing.assert_allclose(back, z, atol=1e-9)
    (part, _), _ = run(e[:3], train=True, method="inverse")
    (running, _), _ = run(e, train=False, method="inverse")
    assert jnp.abs(part - z[:3]).max() > 1e-3
    assert jnp.abs(running - z).max() > 1e-3


def test_running_averages_move_by_the_momentum():
  moved = {}
  for momentum in (0.9, 0.81):
    net, variables, z = _flow(
      "additive", blocks=1, batch_norm=True, bn_momentum=momentum
    )
    variables["batch_stats"] = jax.tree.map(
      np.zeros_like, variables["batch_stats"]
    )
    how = {"train": True, "mutable": "batch_stats"}
    _, new = _apply(net, variables, z, **how)
    moved[momentum] = new["batch_stats"]["first_0"]["shift"]["norm_1"]["mean"]
  np.testing.assert_allclose(moved[0.81], moved[0.9] * 1.9, rtol=1e-5)


def test_spline_is_the_identity_outside_of_its_square():
  x = jnp.array([[-7.0, -3.0, 3.0, 1e6]])
  raw = jax.random.normal(jax.random.key(0), (1, 4, 11))
  run = functools.partial(spline.transform, bins=4, bound=3.0)
  y, log_slope = jax.jit(run)(x, raw)
  np.testing.assert_array_equal(y, x)
  np.testing.assert_array_equal(log_slope, 0.0)
  total = lambda raw: sum(part.sum() for part in run(x, raw))
  gradient = jax.jit(jax.grad(total))(raw)
  np.testing.assert_array_equal(gradient, 0.0)


def test_spline_is_increasing_and_keeps_its_square():
  x = np.linspace(-3.0, 3.0, 401, dtype=np.float32)[:, None]
  raw = np.random.default_rng(2).normal(0.0, 2.0, (1, 1, 23))
  raw = np.tile(raw.astype(np.float32), (401, 1, 1))
  run = functools.partial(spline.transform, bins=8, bound=3.0)
  y, _ = jax.jit(run)(x, raw)
  assert (jnp.diff(y[:, 0]) > 0).all()
  np.testing.assert_allclose(y[[0, -1], 0], [-3.0, 3.0], atol=1e-5)


def test_bfloat16_codes_are_computed_in_float32():
  net, variables, z = _flow("additive", scale=1.0, blocks=1)
  half = z.astype(jnp.bfloat16)
  e, logdet = _apply(net, variables, half)
  assert e.dtype == logdet.dtype == jnp.float32
  exact, _ = _apply(net, variables, half.astype(np.float32))
  np.testing.assert_array_equal(e, exact)


def test_wrong_sizes_and_names_raise():
  net, variables, z = _flow("affine")
  with pytest.raises(AssertionError, match="shape"):
    net.apply(variables, z[:, :4], train=False)
  with pytest.raises(ValueError, match="d >= 2; got 1"):
    _count(dimension=1)
  with pytest.raises(ValueError, match="'spline'; got 'glow'"):
    _count(dimension=4, coupling="glow")
