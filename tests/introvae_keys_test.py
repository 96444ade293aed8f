"""The keys of IntroVAE: health, presets, and values that are refused."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from genlat.methods import introspection
from tests import shipped

SIDE = 8


def method(*changes: tuple[str, Any]):
  config = shipped.config("introvae_mnist", "smoke")
  for key, value in changes:
    config.update_from_flattened_dict({key: value})
  return shipped.build(config)


GOOD = {
  "game": 1.0,
  "kl_real": 50.0,
  "kl_fake": 110.0,
  "hinge_active": 0.5,
  "spread": 0.9,
}


@pytest.mark.parametrize(
  "change,word",
  [
    ({"kl_fake": 40.0}, "KL_fake has been below.*samples.*alpha_encoder"),
    ({"kl_rec": 40.0}, "KL_rec has been below.*copies.*alpha_encoder"),
    ({"kl_real": 0.1}, "next to nothing.*is 0.1 nats.*introvae.beta"),
    (
      {"kl_real": 0.2, "kl_rec": 0.1, "kl_fake": 0.1, "spread": 0.1},
      "next to nothing.*introvae.beta",
    ),
    ({"hinge_active": 0.0}, "hinge has not been active.*introvae.margin"),
    ({"spread": 0.1}, "nearly alike.*introvae.beta"),
    ({"kl_real": 1e5, "kl_fake": 1e6}, "KL_fake explodes.*optimizer.lr"),
    ({"kl_fake": 1e6, "hinge_active": 0.0}, "KL_fake explodes"),
    ({"kl_rec": 1e6}, "KL_rec explodes"),
  ],
)
def test_a_sick_game_names_the_key_to_change(change, word):
  made = method()
  assert made.health([GOOD] * 30) == []
  bad = GOOD | change
  (line,) = made.health([GOOD] * 5 + [bad] * 10)

  assert re.search(word, line)
  assert made.health([bad] * 9) == []
  assert len(made.health([bad, GOOD] + [bad] * 7 + [GOOD])) == 1
  assert made.health([bad] * 9 + [GOOD] * 3) == []
  assert made.health([bad | {"game": 0.0}] * 30) == []


def test_a_spike_is_not_the_figure_that_a_warning_names():
  made = method()
  still = GOOD | {"hinge_active": 0.0}
  (line,) = made.health([still] * 9 + [still | {"kl_fake": 900.0}])
  assert "introvae.margin above 110" in line
  large = GOOD | {"kl_fake": 1e6}
  spike = large | {"kl_real": 1e9}
  (line,) = made.health([large] * 9 + [spike])
  assert "KL_fake explodes: 1000000 nats" in line
  turns = [{"kl_rec": 2e6}, {"kl_fake": 1e6}] * 5
  (line,) = made.health([GOOD | {"kl_rec": 120.0} | turn for turn in turns])
  assert "KL_rec explodes: 2000000 nats" in line


def test_a_divergence_of_batches_may_be_small():
  made = method(("introvae.regulariser", "age"), ("introvae.margin", 0.5))
  assert made.health([GOOD | {"kl_real": 0.1}] * 30) == []


def test_a_pretraining_has_a_step_at_least():
  steps = [method(("introspection.pretrain", e)).pretrain for e in (0.0, 1e-4)]
  assert steps == [0, 1] and type(steps[1]) is int


@pytest.mark.parametrize(
  "change,word",
  [
    ({"kl_fake": 40.0}, "KL_fake has been below.*beta_fake"),
    (
      {"exponential_rec": 1e-8, "exponential_fake": 1e-9},
      "vanished.*1e-08.*beta_fake",
    ),
    ({"spread": 0.1}, "nearly alike.*soft_introvae.beta_reconstruction"),
    ({"kl_fake": 1e5}, "KL_fake explodes.*optimizer.lr"),
  ],
)
def test_a_sick_soft_game_names_the_key_to_change(change, word):
  made = shipped.build(shipped.config("soft_introvae_mnist", "smoke"))
  good = GOOD | {"exponential_rec": 1e-8, "exponential_fake": 0.01}
  del good["hinge_active"]
  assert made.health([good] * 30) == []
  (line,) = made.health([good] * 5 + [good | change] * 10)
  assert re.search(word, line)


@pytest.mark.parametrize(
  "key,value,word",
  [
    ("introvae.hinge", "soft", "hinge must be one of batch_mean, per_sample"),
    ("introvae.regulariser", "mmd", "regulariser must be one of age, kl"),
    ("introvae.margin", -1.0, "margin must be at least 0"),
    ("introspection.statistics", "none", "statistics must be one of all, real"),
    ("introspection.pretrain", -1.0, "pretrain must be at least 0"),
    ("model.placement", "end", "placement .*must be one of sum, branch"),
    ("model.architecture", "mlp", "architecture must be one of conv, residual"),
  ],
)
def test_impossible_values_are_named(key, value, word):
  with pytest.raises(ValueError, match=word):
    method((key, value))


def test_parts_of_one_image_have_no_spread_to_judge():
  one = jnp.ones((1, 4, 4, 1))
  assert introspection.spread(one, 0.5 * one) == 1.0
  config = shipped.config("introvae_mnist", "smoke")
  config.introvae.regulariser = "age"
  config.batch_size = config.optimizer.accumulate = 8
  with pytest.raises(ValueError, match="leaves fewer than 2"):
    shipped.build(config)


def test_turns_that_cut_the_batch_unlike_are_refused():
  config = shipped.config("introvae_mnist", "smoke")
  config.players.encoder = ConfigDict({"accumulate": 2})
  with pytest.raises(ValueError, match="cut the batch alike"):
    shipped.build(config)


COMMON = {
  "hinge": "batch_mean",
  "half": False,
  "plain_pretrain": True,
  "alpha_decoder": 0.5,
}


@pytest.mark.parametrize(
  "name,margin,beta,alpha,batch,pretrain",
  [
    ("introvae_celebahq256", 120.0, 0.05, 0.25, 16, 0.0),
    ("introvae_celebahq1024", 500.0, 0.01, 0.5, 12, 4.0),
    ("introvae_mnist", 20.0, 1.0, 0.25, 128, 0.0),  # genlat's own
    ("introvae_cifar10", 10.0, 0.05, 0.25, 64, 0.0),
    ("introvae_celeba128", 110.0, 0.5, 0.25, 64, 0.0),
  ],
)
def test_the_official_preset_has_the_script_s_numbers(
  name, margin, beta, alpha, batch, pretrain
):
  config = shipped.config(name, "official")
  wanted = {"margin": margin, "beta": beta, "alpha_encoder": alpha}
  got = config.introvae.to_dict()
  assert got == {**got, **COMMON, **wanted}
  assert config.batch_size == batch
  assert config.introspection.to_dict() == {
    "pretrain": pretrain,
    "statistics": "all",
  }


@pytest.mark.parametrize(
  "name,reconstruction,beta",
  [
    ("introvae_celebahq256", 0.025, 1.0),
    ("introvae_mnist", 1.0, 1.0),
    ("soft_introvae_faces256", 1.0, 0.5),
  ],
)
def test_the_plain_vae_has_the_game_s_weights(name, reconstruction, beta):
  config = shipped.config(name, "vae")
  assert config.method == "vae"
  assert (config.vae.reconstruction, config.vae.beta) == (reconstruction, beta)
  same = shipped.config(name).model
  assert config.model.to_dict() == same.to_dict()


@pytest.mark.parametrize(
  "name,words",
  [
    ("introvae_mnist", "paper,smoke"),
    ("introvae_mnist", "official,smoke"),
    ("introvae_mnist", "vae,smoke"),
    ("soft_introvae_mnist", "bootstrap,smoke"),
    ("soft_introvae_mnist", "vae,smoke"),
  ],
)
def test_presets_build(name, words):
  made = shipped.build(shipped.config(name, words))
  batch = {"image": jnp.zeros((4, SIDE, SIDE, 1))}
  state = jax.eval_shape(made.init, jax.random.key(0), batch)
  jax.eval_shape(made.train_step, state, batch, jax.random.key(0))


def test_a_vae_takes_its_weights_from_the_presets_before_it():
  weight = lambda words: (
    shipped.config("introvae_celebahq256", words).vae.reconstruction
  )
  assert weight("official,vae") == 2.0 * weight("vae") == 0.05
  with pytest.raises(ValueError, match="name vae after the others"):
    shipped.config("introvae_celebahq256", "vae,official,smoke")
  with pytest.raises(ValueError, match="paper or official, not both"):
    shipped.config("introvae_celebahq256", "official,paper")


@pytest.mark.parametrize(
  "name,count",
  [
    ("introvae_celebahq256", 38_902_275),
    ("introvae_celebahq1024", 48_349_187),
    ("soft_introvae_cifar10", 5_765_379),
    ("soft_introvae_mnist", 1_625_537),
  ],
)
def test_configurations_have_the_weights_of_the_sheet(name, count):
  made = shipped.build(shipped.config(name))
  state = jax.eval_shape(made.init, jax.random.key(0), {})
  sizes = [p.size for p in jax.tree.leaves(state.params)]
  assert sum(sizes) == count
