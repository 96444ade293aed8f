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
from genlat import state as states
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
    self.noise = noise = jnp.tanh(run("decoder", prior_2))
    judge = lambda image: run("image_discriminator", image)
    self.real, self.made, self.again = map(judge, (x, noise, self.copy))
    self.prior, self.codes, self.mix = prior, codes, data["mix"]
    self.judges = {
      "image_discriminator": lambda image: judge(image).logits,
      "code_discriminator": lambda code: run("code_discriminator", code, told),
    }
    self.code_real = np.asarray(run("code_discriminator", prior, told))
    self.code_made = np.asarray(run("code_discriminator", codes, told))
    self.surprise, self.wrong = (
      self._surprise(run("classifier", seen.trunk), data["label_2"])
      for seen in (self.made, self.real)
    )
    self.image, self.unread = x, 0.0
    if read := made.game.read_noise:
      mean = np.asarray(run("noise_reader", self.made.trunk))
      s = np.asarray(data["noise_2"][:, :read]) / made.game.scale
      nats = 0.5 * (s - mean) ** 2 + 0.5 * math.log(2 * math.pi)
      self.unread = nats.sum(1).mean()

  @staticmethod
  def _surprise(logits: jax.Array, labels: jax.Array) -> float:
    return -float(jax.nn.log_softmax(logits)[jnp.arange(ROWS), labels].mean())

  def slope(self, net: str, real, made, column: int) -> float:
    """(norm - 1)^2 of a critic's slope."""
    share = self.mix[:, column].reshape(-1, *(1,) * (real.ndim - 1))
    norms = self.norms(net, share * real + (1 - share) * made)
    return float(np.mean((norms - 1.0) ** 2))

  def norms(self, net: str, points) -> np.ndarray:
    """Norms of a critic's slopes, image by image."""
    judge, found = self.judges[net], []
    for i in range(ROWS):
      one = lambda x, i=i: judge(points.at[i].set(x))[i]
      found.append(jnp.sqrt((jax.jit(jax.grad(one))(points[i]) ** 2).sum()))
    return np.array(found)

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
    ("aae.read_noise", 3),
    ("aae.scale", 0.5),
  )
  data = made.draws(batch, jax.random.key(0))
  p = Pieces(made, state, data)
  a_real, a_made, a_again = (
    np.asarray(j.logits) for j in (p.real, p.made, p.again)
  )
  fooled = softplus(-a_made).mean() + 0.7 * (p.surprise + p.unread)
  wanted = {
    "code_discriminator": softplus(-p.code_real).mean()
    + softplus(p.code_made).mean(),
    "encoder": softplus(-p.code_made).mean() + 2.5 * p.error(reduction),
    "decoder": 3.0 * p.error(reduction),
    "image_discriminator": softplus(-a_real).mean()
    + softplus(a_made).mean()
    + softplus(a_again).mean()
    + 0.7 * (p.surprise + p.unread)
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
    loss, (metrics, stats) = turn(state, state.params, data)
    np.testing.assert_allclose(loss, value, rtol=1e-4, err_msg=who)
    assert set(stats) == moving[who], who
  # The bound that the last of them, the generator, reports: H(s) - J_MI.
  entropy = 1.5 * math.log(2 * math.pi * math.e)
  np.testing.assert_allclose(
    metrics["noise_information"], entropy - p.unread, rtol=1e-4
  )


def test_noise_that_is_read_without_error_has_half_a_nat_a_number():
  made, state, batch = method(("aae.read_noise", 3), ("aae.scale", 0.5))
  data = made.draws(batch, jax.random.key(0))
  data["noise_2"] = jnp.zeros_like(data["noise_2"])
  head = jax.tree.map(jnp.zeros_like, state.params["noise_reader"])
  params = {**state.params, "noise_reader": head}
  _, (found, _) = jax.jit(made.generator_turn)(state, params, data)
  np.testing.assert_allclose(found["noise_information"], 1.5, rtol=1e-5)


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
  np.testing.assert_allclose(found["surprise"], math.log(10), rtol=1e-5)


@pytest.mark.parametrize(
  ("word", "parts"), [("supervised", 1), ("supervised", 2), ("unsupervised", 1)]
)
def test_information_is_reported_with_the_entropy_of_its_labels(word, parts):
  made, state, batch = method(
    ("optimizer.accumulate", parts), name=f"lp_aae_{word}_mnist"
  )
  # Three of ten, and other ones in each part of the batch.
  label = jnp.arange(len(batch["label"])) * 3 // len(batch["label"])
  batch = {**batch, "label": label}
  _, found = jax.jit(made.train_step)(state, batch, jax.random.key(0))
  share = np.bincount(label) / len(label)
  entropy = -(share * np.log(share)).sum()
  entropy = entropy if word == "supervised" else math.log(10)
  np.testing.assert_allclose(found["information_ceiling"], entropy, rtol=1e-5)
  np.testing.assert_allclose(
    found["information"], entropy - found["surprise"], rtol=1e-4, atol=1e-5
  )


def opinions(made, state, data) -> dict[str, float]:
  """Mean logits of both judges, higher for the real, and the mean error."""
  params = state.params
  codes, _ = made.posterior_codes(state, params, data)
  judged = made.judged(data)
  of_codes = lambda c: made.run(state, params, "code_discriminator", c, judged)
  of_images = lambda x: made.judge(state, params, x, None)[0].logits
  prior, prior_2 = (
    made.prior_codes(state, params, data, phase)[0] for phase in ("", "_2")
  )
  image = lambda code: made.images_in(state, params, code)[0]
  logits = {
    "prior": of_codes(prior)[0],
    "posterior": of_codes(codes)[0],
    "real": of_images(data["image"]),
    "sample": of_images(image(prior_2)),
    "copy": of_images(image(codes)),
  }
  logits["error"] = made.error(state, params, data, image(codes))
  return {name: float(value.mean()) for name, value in logits.items()}


# What each player wants of the judges, as signs: no sign of a loss is read.
WISHES = {
  "code_discriminator": {"prior": 1, "posterior": -1},
  "encoder": {"posterior": 1},
  "decoder": {"error": -1},
  "image_discriminator": {"real": 2, "sample": -1, "copy": -1},
  "generator": {"sample": 1, "copy": 1},
}


@pytest.mark.parametrize("who", WISHES)
def test_a_player_s_step_brings_what_it_wants(who):
  made, state, batch = method(
    ("aae.information", 1e-9),
    ("aae.real_labels", 0.0),
    ("aae.encoder_reconstruction", 0.0),
    ("optimizer.lr", 1e-3),
  )
  data = made.draws(batch, jax.random.key(0))
  wish = lambda state: sum(
    sign * opinions(made, state, data)[of] for of, sign in WISHES[who].items()
  )
  turn = lambda p, part: getattr(made, f"{who}_turn")(state, p, part)
  after, _ = states.descend(state, made.players, who, turn, data)
  assert wish(after) > wish(state)


KINDS = {
  "least_squares": (
    lambda a: 0.5 * (a - 1) ** 2,
    lambda a: 0.5 * a**2,
    lambda a: 0.5 * (a - 1) ** 2,
  ),
  "hinge": (
    lambda a: np.maximum(0, 1 - a),
    lambda a: np.maximum(0, 1 + a),
    lambda a: -a,
  ),
  "wasserstein": (lambda a: -a, lambda a: a, lambda a: -a),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_adversarial_losses_have_their_values(kind):
  made, state, batch = method(
    ("aae.code_loss", kind),
    ("aae.image_loss", kind),
    ("aae.penalty", 10.0),
    ("aae.real_penalty", 0.3),
    ("aae.information", 1e-9),
    ("aae.real_labels", 0.0),
    ("model.normalisation", "none"),
  )
  data = made.draws(batch, jax.random.key(0))
  p, (real, fake, fools) = Pieces(made, state, data), KINDS[kind]
  a_real, a_made, a_again = (
    np.asarray(j.logits) for j in (p.real, p.made, p.again)
  )
  error = made.game.encoder_reconstruction * p.error("mean")
  wanted = {
    "code_discriminator": real(p.code_real).mean() + fake(p.code_made).mean(),
    "encoder": fools(p.code_made).mean() + error,
    "image_discriminator": real(a_real).mean()
    + (fake(a_made).mean() + fake(a_again).mean())
    * (0.5 if kind == "wasserstein" else 1.0),
    "generator": fools(a_made).mean() + fools(a_again).mean(),
  }
  slopes = p.norms("image_discriminator", p.image)
  wanted["image_discriminator"] += 0.3 * 0.5 * (slopes**2).mean()
  if kind == "wasserstein":
    for i, made_up in enumerate((p.noise, p.copy), 1):
      slope = p.slope("image_discriminator", p.image, made_up, i)
      wanted["image_discriminator"] += 0.5 * 10.0 * slope
    wanted["code_discriminator"] += 10.0 * p.slope(
      "code_discriminator", p.prior, p.codes, 0
    )
  for who, value in wanted.items():
    turn = lambda p, w=who: getattr(made, f"{w}_turn")(state, p, data)[0]
    loss, slope = jax.jit(jax.value_and_grad(turn))(state.params)
    np.testing.assert_allclose(loss, value, rtol=1e-4, err_msg=who)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(slope))


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
    ((("aae.real_penalty", 1.0),), "real_penalty is of an image"),
    ((("aae.prior", "ring"),), "codes that are not learned"),
    (
      (
        ("aae.learned_prior", False),
        ("aae.prior", "ring"),
        ("aae.read_noise", 2),
      ),
      "read_noise is of Gaussian noise",
    ),
    ((("aae.read_noise", 99),), "more than the 6 dim"),
    ((("aae.read_noise", 2), ("aae.information", 0.0)), "made to be read"),
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
