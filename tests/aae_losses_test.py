"""The losses of the five turns, written out by hand (aae.md 2 and 10)."""

import functools
import importlib
import math
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import checks
from tests import shipped

ROWS = 6


@functools.cache
def method(*changes: tuple[str, Any], name: str = "lp_aae_supervised_mnist"):
  config = shipped.config(name, "smoke")
  config.optimizer.name, config.optimizer.lr = "sgd", 0.05
  for key, value in changes:
    config.update_from_flattened_dict({key: value})
  made = shipped.build(config)
  batch = shipped.batch(config, ROWS)
  return made, made.init(jax.random.key(3), {}), batch


def softplus(x):
  return np.logaddexp(0.0, x)


class Pieces:
  """What the turns are made of, each network run once, as NumPy."""

  def __init__(self, made, state, data):
    """Runs all networks with the statistics of their batches."""
    run = lambda net, *x: made.run(state, state.params, net, *x)[0]
    one_hot = lambda labels: jax.nn.one_hot(labels, 10)
    told = one_hot(data["label"])
    x = data["image"]
    codes = run("encoder", x)
    prior = run("code_generator", data["noise"], told)
    prior_2 = run("code_generator", data["noise_2"], one_hot(data["label_2"]))
    self.copy = jnp.tanh(run("decoder", codes))
    noise = jnp.tanh(run("decoder", prior_2))
    judge = lambda image: run("image_discriminator", image)
    self.real, self.made, self.again = map(judge, (x, noise, self.copy))
    self.code_real = np.asarray(run("code_discriminator", prior, told))
    self.code_made = np.asarray(run("code_discriminator", codes, told))
    self.surprise, self.wrong = (
      self._surprise(run("classifier", seen.trunk), data["label_2"])
      for seen in (self.made, self.real)
    )
    self.image = x

  @staticmethod
  def _surprise(logits: jax.Array, labels: jax.Array) -> float:
    return -float(jax.nn.log_softmax(logits)[jnp.arange(ROWS), labels].mean())

  def error(self, reduction: str) -> float:
    """J_rec between features."""
    square = (self.real.features - self.again.features) ** 2
    return float(square.mean() if reduction == "mean" else square.sum() / ROWS)


@pytest.mark.parametrize(
  ("reduction", "copies"), [("mean", True), ("sum", False)]
)
def test_every_turn_has_the_loss_of_the_sheet(reduction, copies):
  made, state, batch = method(
    ("aae.reduction", reduction),
    ("aae.fools_by_copies", copies),
    ("aae.reconstruction", 3.0),
    ("aae.encoder_reconstruction", 2.5),
    ("aae.information", 0.7),
    ("aae.real_labels", 0.3),
  )
  data = made.draws(batch, jax.random.key(0))
  p = Pieces(made, state, data)
  a_real, a_made, a_again = (
    np.asarray(j.logits) for j in (p.real, p.made, p.again)
  )
  fooled = softplus(-a_made).mean() + 0.7 * p.surprise
  wanted = {
    "code_discriminator": softplus(-p.code_real).mean()
    + softplus(p.code_made).mean(),
    "encoder": softplus(-p.code_made).mean() + 2.5 * p.error(reduction),
    "decoder": 3.0 * p.error(reduction),
    "image_discriminator": softplus(-a_real).mean()
    + softplus(a_made).mean()
    + softplus(a_again).mean()
    + 0.7 * p.surprise
    + 0.3 * p.wrong,
    "generator": fooled + (softplus(-a_again).mean() if copies else 0.0),
  }
  moving = {
    "code_discriminator": set(),
    "encoder": {"encoder"},
    "decoder": {"decoder"},
    "image_discriminator": {"image_discriminator"},
    "generator": {"decoder", "code_generator"},
  }
  for who, value in wanted.items():
    turn = jax.jit(getattr(made, f"{who}_turn"))
    loss, (_, stats) = turn(state, state.params, data)
    np.testing.assert_allclose(loss, value, rtol=1e-4, err_msg=who)
    assert set(stats) == moving[who], who


def test_undecided_judges_lose_their_bits():
  made, state, batch = method()
  params = dict(state.params)
  for net in ("image_discriminator", "code_discriminator", "classifier"):
    zero = jax.tree.map(jnp.zeros_like, params[net]["head"])
    params[net] = {**params[net], "head": zero}
  state = state.replace(params=params)
  _, metrics = jax.jit(made.train_step)(state, batch, jax.random.key(0))
  bit = math.log(2.0)
  np.testing.assert_allclose(metrics["code_discriminator"], 2 * bit, rtol=1e-5)
  data = made.draws(batch, jax.random.key(0))
  turn = jax.jit(made.image_discriminator_turn)
  _, (found, _) = turn(state, params, data)
  np.testing.assert_allclose(found["image_discriminator"], 3 * bit, rtol=1e-5)
  _, (found, _) = jax.jit(made.generator_turn)(state, params, data)
  np.testing.assert_allclose(found["information"], 0.0, atol=1e-5)


@pytest.mark.parametrize(
  "who", ["code_discriminator", "image_discriminator", "generator"]
)
def test_a_step_down_lowers_its_own_loss(who):
  made, state, batch = method()
  # New weights of 0.02 make flat losses: larger ones have slopes to speak of.
  large = jax.tree.map(lambda p: 8.0 * p if p.ndim > 1 else p, state.params)
  state = state.replace(params=large)
  data = made.draws(batch, jax.random.key(0))
  turn = lambda p: getattr(made, f"{who}_turn")(state, p, data)[0]
  before, slope = jax.jit(jax.value_and_grad(turn))(state.params)
  moving = {net: slope[net] for net in made.players[who].nets}
  norm = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(moving)))
  step = lambda p, g: p - 0.01 * g / norm
  params = dict(state.params)
  for net, g in moving.items():
    params[net] = jax.tree.map(step, params[net], g)
  assert float(jax.jit(turn)(params)) < float(before)


def test_the_second_phase_starts_where_the_first_ended():
  made, state, batch = method(("aae.simultaneous", True))
  key = jax.random.key(0)
  after, _ = jax.jit(made.train_step)(state, batch, key)
  data = made.draws(batch, key)
  moved = dict(state.params)
  for who in ("code_discriminator", "encoder", "decoder"):
    turn = lambda p, w=who: getattr(made, f"{w}_turn")(state, p, data)[0]
    slope = jax.jit(jax.grad(turn))(state.params)[who]
    moved[who] = jax.tree.map(
      lambda p, g: p - 0.05 * g, state.params[who], slope
    )
  between = state.replace(params=moved)
  turn = lambda p: made.generator_turn(between, p, data)[0]
  slope = jax.jit(jax.grad(turn))(moved)
  for net in ("code_generator", "decoder"):
    jax.tree.map(
      lambda q, p, g: np.testing.assert_allclose(q, p - 0.05 * g, atol=1e-5),
      after.params[net],
      moved[net],
      slope[net],
    )


def test_a_critic_s_loss_knows_no_level():
  """Or its bias would run away: two kinds of fakes weigh as one real."""
  made, state, batch = method(
    ("aae.image_loss", "wasserstein"), ("model.normalisation", "none")
  )
  data = made.draws(batch, jax.random.key(0))
  turn = lambda p: made.image_discriminator_turn(state, p, data)[0]
  slope = jax.jit(jax.grad(turn))(state.params)["image_discriminator"]
  slope = slope["head"]["bias"]
  np.testing.assert_allclose(slope, 0.0, atol=1e-6)


@pytest.mark.parametrize(
  "changes,word",
  [
    ((("aae.image_loss", "wasserstein"),), "penalty is of each image alone"),
    ((("aae.prior", "ring"),), "codes that are not learned"),
    ((("optimizer.schedule", "cosine"),), "count each step twice"),
    (
      (("aae.learned_prior", False), ("aae.prior", "swiss_roll")),
      "knows no labels",
    ),
    ((("aae.image_channels", (4, 4, 4, 4)),), "halves images of 8 pixels 4"),
  ],
)
def test_games_that_cannot_be_played_are_refused(changes, word):
  with pytest.raises(ValueError, match=word):
    method(*changes)


def test_labels_beyond_the_model_s_are_refused():
  source = types.SimpleNamespace(name="flowers", classes=("a", "b", "c"))
  checks.check_classes(3, source, "aae.classes")
  with pytest.raises(ValueError, match="10 classes, and flowers has 3"):
    checks.check_classes(10, source, "aae.classes")


@pytest.mark.parametrize(
  "name,words,posterior",
  [
    ("aae_mnist", "code2000", "gaussian"),
    ("aae_mnist", "code64", "deterministic"),
    ("aae_mnist", "same,code2000", "deterministic"),
    ("aae_mnist", "code2000,same", "deterministic"),
    ("lp_aae_mnist", "code2000", "deterministic"),
    ("lp_aae_mnist", "code2000,same", "deterministic"),
    ("ablation_none", "mnist,code100", "gaussian"),
  ],
)
def test_the_published_baseline_alone_draws_its_large_codes(
  name, words, posterior
):
  module = importlib.import_module(f"configs.{name}")
  assert module.get_config(words).aae.posterior == posterior
