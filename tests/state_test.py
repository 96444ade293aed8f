"""Laws of the one state and of the one way to move it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from genlat.state import Player, State, advance, create, descend, initialise


def start(players: dict[str, Player]) -> State:
  params = {"a": {"w": jnp.ones((3,))}, "b": {"w": jnp.full((3,), 2.0)}}
  stats = {"a": {"mean": jnp.zeros((3,))}}
  return create(params, stats, players)


def loss(params, data):
  """mean_b (x_b . (a + b))^2 / 2, with the mean of x as statistics of a."""
  y = data["x"] @ (params["a"]["w"] + params["b"]["w"])
  value = 0.5 * jnp.square(y).mean()
  stats = {"a": {"mean": data["x"].mean(0)}}
  return value, ({"loss": value}, stats)


DATA = {"x": jnp.arange(24.0).reshape(8, 3) / 10.0}


def gradient(w: np.ndarray) -> np.ndarray:
  x = np.asarray(DATA["x"])
  return (x * (x @ w)[:, None]).mean(0)


def players(**fields) -> dict[str, Player]:
  tx = optax.sgd(0.1)
  return {
    "first": Player(("a",), tx, convolutional=False, **fields),
    "second": Player(("b",), tx, convolutional=False),
  }


def test_a_turn_moves_its_networks_by_its_gradient_and_no_other():
  state, metrics = descend(start(players()), players(), "first", loss, DATA)
  wanted = 1.0 - 0.1 * gradient(np.full(3, 3.0))
  np.testing.assert_allclose(state.params["a"]["w"], wanted, rtol=1e-5)
  np.testing.assert_array_equal(state.params["b"]["w"], 2.0)
  np.testing.assert_allclose(
    metrics["grad_norm/first"],
    np.linalg.norm(gradient(np.full(3, 3.0))),
    rtol=1e-5,
  )


def test_chained_turns_alternate_and_turns_with_others_are_simultaneous():
  turns = players()
  before = start(turns)
  moved, _ = descend(before, turns, "first", loss, DATA)
  chained, _ = descend(moved, turns, "second", loss, DATA)
  at_once, _ = descend(moved, turns, "second", loss, DATA, others=before.params)
  new_a = np.asarray(moved.params["a"]["w"])
  np.testing.assert_allclose(
    chained.params["b"]["w"], 2.0 - 0.1 * gradient(new_a + 2.0), rtol=1e-4
  )
  np.testing.assert_allclose(
    at_once.params["b"]["w"],
    2.0 - 0.1 * gradient(np.full(3, 3.0)),
    rtol=1e-4,
  )


@pytest.mark.parametrize("traced", [False, True])
def test_a_closed_gate_leaves_every_bit(traced):
  turns = {
    "first": Player(("a",), optax.adam(0.1)),
    "second": Player(("b",), optax.adam(0.1)),
  }
  state, _ = descend(start(turns), turns, "first", loss, DATA)

  def move(state, when):
    return descend(state, turns, "first", loss, DATA, when=when)[0]

  move = jax.jit(move) if traced else move
  shut = move(state, jnp.array(False))
  for x, y in zip(jax.tree.leaves(shut), jax.tree.leaves(state), strict=True):
    np.testing.assert_array_equal(x, y)
  opened = move(state, jnp.array(True))
  assert not np.array_equal(opened.params["a"]["w"], state.params["a"]["w"])


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_add_up_to_the_batch(parts):
  turns = players()
  whole, a = descend(start(turns), turns, "first", loss, DATA)
  cut = players(accumulate=parts)
  summed, b = descend(start(cut), cut, "first", loss, DATA)
  for x, y in ((whole.params, summed.params), (whole.stats, summed.stats)):
    np.testing.assert_allclose(x["a"].popitem()[1], y["a"].popitem()[1], 1e-6)
  np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-6)


def test_a_batch_that_cannot_be_cut_names_the_key():
  cut = players(accumulate=3)
  with pytest.raises(ValueError, match="config.optimizer.accumulate"):
    descend(start(cut), cut, "first", loss, DATA)


def test_the_clip_is_of_the_norm_over_the_whole_turn():
  norm = 0.5
  turn = {
    "both": Player(("a", "b"), optax.sgd(1.0), clip=norm, convolutional=False)
  }
  state, metrics = descend(start(turn), turn, "both", loss, DATA)
  steps = [
    np.asarray(state.params["a"]["w"]) - 1.0,
    np.asarray(state.params["b"]["w"]) - 2.0,
  ]
  np.testing.assert_allclose(
    np.linalg.norm(np.concatenate(steps)), norm, rtol=1e-5
  )
  assert float(metrics["grad_norm/both"]) > norm  # reported before the clip


def test_players_of_one_memory_share_moments_and_others_do_not():
  adam = optax.adam(0.1)
  shared = {
    "first": Player(("a", "b"), adam, memory="one"),
    "second": Player(("a",), adam, memory="one"),
  }
  state = start(shared)
  assert set(state.opt) == {"one"}
  for who in ("first", "second"):
    state, _ = descend(state, shared, who, loss, DATA)
  assert int(state.opt["one"]["a"][0].count) == 2
  assert int(state.opt["one"]["b"][0].count) == 1
  own = {
    "first": Player(("a", "b"), adam),
    "second": Player(("a",), adam),
  }
  state = start(own)
  for who in ("first", "second"):
    state, _ = descend(state, own, who, loss, DATA)
  assert int(state.opt["first"]["a"][0].count) == 1
  assert int(state.opt["second"]["a"][0].count) == 1


def test_players_must_cover_every_network():
  with pytest.raises(ValueError, match=r"'b'.*moved.*'a'"):
    start({"first": Player(("a",), optax.sgd(0.1))})


def test_advance_counts_and_averages():
  turns = players()
  state = create(
    {"a": {"w": jnp.ones(2)}, "b": {"w": jnp.ones(2)}}, {}, turns, ema=True
  )
  state = state.replace(
    params={"a": {"w": jnp.zeros(2)}, "b": {"w": jnp.ones(2)}}
  )
  after = advance(state, 0.9)
  assert int(after.step) == 1
  np.testing.assert_allclose(after.ema["params"]["a"]["w"], 0.9, rtol=1e-6)
  np.testing.assert_allclose(after.averaged.params["a"]["w"], 0.9, rtol=1e-6)
  np.testing.assert_allclose(after.params["a"]["w"], 0.0)


class Affine(nn.Module):
  """A dense layer and a norm."""

  width: int

  @nn.compact
  def __call__(self, x, *, train):
    """`[B, d]` to `[B, width]`."""
    return nn.BatchNorm(not train)(nn.Dense(self.width)(x))


def test_a_network_starts_as_its_own_init_says():
  """Equal networks share a program: it may keep no key, width or input."""
  for width, seed, inputs in ((2, 0, 3), (4, 0, 3), (2, 1, 3), (2, 1, 5)):
    x, key = jnp.ones((1, inputs)), jax.random.key(seed)
    params, stats = initialise(Affine(width), key, x)
    wanted = Affine(width).init(key, x, train=False)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
      {"params": params, "batch_stats": stats},
      wanted,
    )
