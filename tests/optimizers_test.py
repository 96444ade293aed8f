"""Laws of schedules, optimisers and the merge of players' settings."""

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import base
from genlat import optimizers


def config(**changes):
  made = base.base()
  made.steps, made.epoch_steps = 1000, 10
  made.update_from_flattened_dict(
    {k.replace("__", "."): v for k, v in changes.items()}
  )
  return made


def rate(step, **changes):
  settings = config(**changes).optimizer
  return float(optimizers.learning_rate(settings, 1000, 10)(step))


def test_the_step_schedule_halves_at_its_epochs():
  given = {"optimizer__schedule": "step", "optimizer__decay_every": 50.0}
  assert rate(499, **given) == pytest.approx(1e-3)
  assert rate(500, **given) == pytest.approx(5e-4)
  assert rate(1000, **given) == pytest.approx(2.5e-4)


def test_the_cosine_starts_at_the_peak_and_ends_at_zero():
  given = {"optimizer__schedule": "cosine"}
  assert rate(0, **given) == pytest.approx(1e-3)
  assert rate(500, **given) == pytest.approx(5e-4)
  assert rate(1000, **given) == pytest.approx(0.0, abs=1e-9)


def test_warm_up_is_linear_and_then_the_schedule_begins():
  given = {"optimizer__schedule": "cosine", "optimizer__warmup": 100}
  assert rate(0, **given) == 0.0
  assert rate(50, **given) == pytest.approx(5e-4)
  assert rate(100, **given) == pytest.approx(1e-3)
  assert rate(1000, **given) == pytest.approx(0.0, abs=1e-9)


def test_players_carry_only_what_differs_and_lr_moves_them_all():
  made = config(optimizer__lr=3e-4)
  made.players.flow = ConfigDict({"b1": 0.8, "lr_scale": 0.5})
  flow = optimizers.settings_of(made, "flow")
  other = optimizers.settings_of(made, "autoencoder")
  assert (flow.b1, other.b1) == (0.8, 0.9)
  assert flow.lr * flow.lr_scale == pytest.approx(1.5e-4)
  assert other.lr * other.lr_scale == pytest.approx(3e-4)


def test_unknown_players_and_keys_are_named():
  made = config()
  made.players.prior = ConfigDict({"lr": 1.0})
  with pytest.raises(ValueError, match="config.players.prior.*flow"):
    optimizers.players(made, {"flow": ("flow",)})
  made = config()
  made.players.flow = ConfigDict({"beta1": 1.0})
  with pytest.raises(ValueError, match="config.players.flow.beta1.*b1"):
    optimizers.settings_of(made, "flow")


@pytest.mark.parametrize(
  ("key", "values"),
  [("name", ("sgd", "adam")), ("l2", (0.0, 1e-4)), ("momentum", (0.0, 0.9))],
)
def test_players_of_one_memory_have_one_form_of_optimiser(key, values):
  turns = {"decoder": ("decoder",), "generator": ("decoder",)}
  shared = {"memories": {"generator": "decoder"}}
  made = config(optimizer__name="sgd")
  made.players.decoder = ConfigDict({key: values[0]})
  made.players.generator = ConfigDict({key: values[1]})
  assert optimizers.players(made, turns)["generator"].memory == ""
  with pytest.raises(ValueError, match=f"form of optimiser; .* unlike {key}$"):
    optimizers.players(made, turns, **shared)
  made.players.decoder[key] = values[1] if key == "name" else values[1] / 2
  optimizers.players(made, turns, **shared)


def test_players_of_another_game_may_keep_their_blocks():
  made = config()
  made.players.judge = ConfigDict({"lr_scale": 0.5})
  turns = {"flow": ("flow",)}
  assert set(optimizers.players(made, turns, idle=("judge",))) == {"flow"}
  with pytest.raises(ValueError, match="no such player; known: flow"):
    optimizers.players(made, turns)
  made.players.judge = ConfigDict({"beta1": 0.5})
  with pytest.raises(ValueError, match="players.judge.beta1"):
    optimizers.players(made, turns, idle=("judge",))


def test_l2_enters_adams_moments_and_weight_decay_does_not():
  """PyTorch's Adam adds l2 * w to the gradient (glf.md 3)."""
  weights = {"w": jnp.array([2.0])}
  nothing = {"w": jnp.array([0.0])}
  l2 = optimizers.transformation(config(optimizer__l2=0.5).optimizer, 10, 10)
  updates, _ = l2.update(nothing, l2.init(weights), weights)
  # The first step of Adam is lr * sign(gradient), and l2 * w is one.
  np.testing.assert_allclose(updates["w"], -1e-3, rtol=1e-4)
  adamw = optimizers.transformation(
    config(optimizer__name="adamw", optimizer__weight_decay=0.5).optimizer,
    10,
    10,
  )
  updates, _ = adamw.update(nothing, adamw.init(weights), weights)
  np.testing.assert_allclose(updates["w"], -1e-3 * 0.5 * 2.0, rtol=1e-4)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimiser_descends(name):
  tx = optimizers.transformation(config(optimizer__name=name).optimizer, 10, 10)
  weights = {"w": jnp.array([1.0])}
  updates, _ = tx.update({"w": jnp.array([1.0])}, tx.init(weights), weights)
  assert float(updates["w"][0]) < 0.0
