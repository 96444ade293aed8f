"""The laws every method keeps: a new one is tested by being listed."""

import dataclasses
import functools
import gc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import methods, sharding
from genlat.checkpoint import Checkpoints
from genlat.methods.method import Classifying
from genlat.state import State
from tests import moves, shipped
from tests.moves import differ

ALL = sorted(methods.METHODS)
# The richest game of a method, where <method>_mnist is not it.
RICHEST = {"aae": "lp_aae_supervised_mnist"}
RICHER = {
  "aae": {"aae__real_labels": 1.0, "aae__read_noise": 2, "aae__coverage": 1.0}
}
# Linear in its gradients, so that rounding stays rounding; with a memory.
SGD = {
  "optimizer__name": "sgd",
  "optimizer__lr": 1e-3,
  "optimizer__momentum": 0.9,
}


@dataclasses.dataclass
class Case:
  """A method at smoke size, with one compiled step that the laws share."""

  config: Any
  method: Any
  batch: Any

  @functools.cached_property
  def state(self) -> State:
    """The state at step 0."""
    return shipped.start(self.method, self.config)

  @functools.cached_property
  def program(self) -> Any:
    """The compiled step, whose players move by the shares they are told."""
    return moves.step(self.method)

  def step(self, state: State, key: jax.Array, only: str = "") -> Any:
    """A step of all players, or one in which a single one moves."""
    shares = {who: float(only in ("", who)) for who in self.method.players}
    return self.program(state, self.batch, key, shares)

  @functools.cached_property
  def evaluate(self) -> Any:
    """The compiled evaluation."""
    return jax.jit(self.method.eval_step)


@pytest.fixture(scope="module", params=ALL)
def name(request):
  """One method after the other, each with all laws, then forgotten."""
  yield request.param
  case.cache_clear()
  losses.cache_clear()
  jax.clear_caches()
  gc.collect()


@functools.cache
def case(name: str, *changes: tuple[str, Any]) -> Case:
  shipped_name = RICHEST.get(name, shipped.of_method(name))
  own = RICHER.get(name, {})
  settings = {"ema": 0.75, **SGD, **own, **dict(changes)}
  config = shipped.config(shipped_name, "smoke", **settings)
  config.players = {}
  return Case(config, shipped.build(config), shipped.batch(config))


def close(a: Any, b: Any, **tolerance: float) -> None:
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_abstract_init_has_the_shapes_of_the_real_one(name):
  c = case(name)
  real = c.state
  abstract = jax.eval_shape(c.method.init, jax.random.key(0), c.batch)
  assert jax.tree.structure(real) == jax.tree.structure(abstract)
  for x, y in zip(
    jax.tree.leaves(real), jax.tree.leaves(abstract), strict=True
  ):
    assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_a_step_counts_and_gives_finite_scalars_and_compiles_once(name):
  c = case(name)
  state = c.state
  for i in range(2):
    state, metrics = c.step(state, jax.random.key(i))
  assert int(state.step) == 2
  assert "loss" in metrics
  for value in metrics.values():
    assert value.shape == () and np.isfinite(value)
  assert c.program._cache_size() == 1


def test_each_player_moves_its_own_networks_only(name):
  c = case(name)
  for who, player in c.method.players.items():
    after, _ = c.step(c.state, jax.random.key(0), only=who)
    moved = {
      net
      for net in c.state.params
      if differ(c.state.params[net], after.params[net])
    }
    assert moved == set(player.nets)


def test_steps_in_a_scan_that_forget_activations_are_single_steps(name):
  c, remat = case(name), case(name, ("model__remat", True))
  keys = jax.random.split(jax.random.key(3), 2)

  def body(state, key):
    return remat.method.train_step(state, c.batch, key)

  rolled, losses = jax.jit(lambda s: jax.lax.scan(body, s, keys))(c.state)
  state, single = c.state, []
  for key in keys:
    state, metrics = c.step(state, key)
    single.append(metrics["loss"])
  np.testing.assert_allclose(losses["loss"][0], single[0], rtol=1e-6)
  np.testing.assert_allclose(losses["loss"], np.stack(single), rtol=1e-5)
  close(rolled.params, state.params, rtol=1e-3, atol=1e-5)


@functools.cache
def losses(name: str) -> list[float]:
  """The losses of three steps on one device."""
  c, state, got = case(name), case(name).state, []
  for i in range(3):
    state, metrics = c.step(state, jax.random.key(i))
    got.append(float(metrics["loss"]))
  return got


def split_losses(name: str, fsdp: int) -> list[float]:
  """The losses of three steps on four devices, each state donated."""
  c = case(name)
  mesh = sharding.make_mesh(fsdp, jax.devices())
  # Copied: what a device holds already is not put there again.
  state = jax.tree.map(jnp.copy, c.state)
  layout = sharding.state_sharding(state, mesh)
  state = jax.device_put(state, layout)
  whole = sharding.replicated(mesh)
  step = sharding.compile(
    c.method.train_step, mesh, out_shardings=(layout, whole), donate=(0,)
  )
  rows = jax.device_put(c.batch, sharding.batch_sharding(mesh))
  got = []
  for i in range(3):
    key = jax.device_put(jax.random.key(i), whole)
    before = state
    state, metrics = step(before, rows, key)
    assert jax.tree.leaves(before.params)[0].is_deleted()
    got.append(float(metrics["loss"]))
  assert not jax.tree.leaves(c.state.params)[0].is_deleted()
  return got


@pytest.mark.parametrize("fsdp", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_four_devices_give_the_losses_of_one_and_reuse_its_memory(name, fsdp):
  # The batch is over both axes either way; with 1 each device has all weights,
  # which is asked of a VAE and of the richest game in every run.
  for size in {fsdp, 1} if name in ("aae", "vae") else {fsdp}:
    np.testing.assert_allclose(
      losses(name), split_losses(name, size), rtol=1e-5
    )


def test_bfloat16_computes_and_keeps_float32_weights(name):
  c = case(name, ("model__dtype", "bfloat16"))
  full = case(name)
  state, metrics = c.step(c.state, jax.random.key(0))
  _, wanted = full.step(full.state, jax.random.key(0))
  for leaf in jax.tree.leaves(state.params):
    assert leaf.dtype == jnp.float32
  assert metrics["loss"].dtype == jnp.float32
  np.testing.assert_allclose(metrics["loss"], wanted["loss"], rtol=0.05)
  assert float(metrics["loss"]) != float(wanted["loss"])


def test_accumulated_parts_move_as_the_whole_batch_does(name):
  # Statistics of half a batch are others; without any, case(name) is at hand.
  free = [("model__normalisation", "none")] if case(name).state.stats else []
  whole = case(name, *free)
  parts = case(name, *free, ("optimizer__accumulate", 2))
  a, x = whole.step(whole.state, jax.random.key(0))
  b, y = parts.step(parts.state, jax.random.key(0))
  np.testing.assert_allclose(x["loss"], y["loss"], rtol=1e-5)
  close(a.params, b.params, rtol=1e-4, atol=1e-6)


def test_the_average_of_weights_follows_them_and_serves_evaluation(name):
  c = case(name)
  before = c.state
  after, _ = c.step(before, jax.random.key(0))
  for part in ("params", "stats"):
    wanted = jax.tree.map(
      lambda a, p: 0.75 * a + 0.25 * p,
      getattr(before, part),
      getattr(after, part),
    )
    close(after.ema[part], wanted, rtol=1e-5, atol=1e-7)
  swapped = after.replace(ema={}, **after.ema)
  a = c.evaluate(after, c.batch, jax.random.key(1))
  b = c.evaluate(swapped, c.batch, jax.random.key(1))
  close(a, b, rtol=1e-6)


def test_evaluation_gives_one_value_an_example_whatever_its_neighbours(name):
  c = case(name)
  state = c.state
  values = c.evaluate(state, c.batch, jax.random.key(0))
  other = dict(c.batch) | {
    "image": c.batch["image"].at[1:].set(1.0 - c.batch["image"][1:])
  }
  moved = c.evaluate(state, other, jax.random.key(0))
  for name_, value in values.items():
    assert value.shape == (len(c.batch["image"]),)
    np.testing.assert_allclose(value[0], moved[name_][0], rtol=1e-5)


def test_codes_decode_to_images_and_samples_repeat(name):
  c = case(name)
  state, shape = c.state, shipped.image_shape(c.config)
  codes = jax.jit(c.method.encode)(state, c.batch["image"])
  if isinstance(c.method, Classifying):
    assert len(codes) == 8
    with pytest.raises(ValueError, match="makes no images"):
      c.method.decode(state, codes)
    with pytest.raises(ValueError, match="makes no images"):
      c.method.sample(state, jax.random.key(1), 3)
    return
  images = jax.jit(c.method.decode)(state, codes)
  assert images.shape == (8, *shape)
  assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0
  if not c.method.generative:
    with pytest.raises(ValueError, match="fit"):
      c.method.sample(state, jax.random.key(1), 3)
    return
  sample = jax.jit(lambda rng: c.method.sample(state, rng, 3))
  a, b, other = (sample(jax.random.key(seed)) for seed in (1, 1, 2))
  assert a.shape == (3, *shape)
  np.testing.assert_array_equal(a, b)
  assert differ(a, other)


def restored(state: State, folder: Any) -> State:
  """A state that was written and read."""
  checkpoints = Checkpoints(folder, keep=1)
  checkpoints.save(1, state, {})
  one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one), state
  )
  back, _, _ = checkpoints.restore(abstract)
  checkpoints.close()
  return back


def test_a_saved_state_goes_on_with_the_same_bits(name, tmp_path):
  c = case(name)
  state, _ = c.step(c.state, jax.random.key(0))
  a, _ = c.step(state, jax.random.key(1))
  b, _ = c.step(restored(state, tmp_path), jax.random.key(1))
  assert not differ(a, b)


def test_the_memory_of_adam_is_kept_bit_by_bit(name, tmp_path):
  start = case(name, ("optimizer__name", "adam")).state
  rng = np.random.default_rng(0)
  filled = jax.tree.map(
    lambda x: jnp.asarray(rng.integers(1, 99, x.shape) / 7).astype(x.dtype),
    start,
  )
  assert not differ(filled, restored(filled, tmp_path))
