"""Laws of the adversarial autoencoder's five turns (aae.md 2, 3 and 10)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import adversarial
from genlat.methods import aae_networks
from tests import moves, shipped
from tests.moves import differ

# Section 2 of the sheet: what each turn moves.
TABLE = {
  "code_discriminator": {"code_discriminator"},
  "encoder": {"encoder"},
  "decoder": {"decoder"},
  "image_discriminator": {"image_discriminator", "classifier", "noise_reader"},
  "generator": {"code_generator", "decoder"},
}


OFF = tuple(
  (f"aae.{key}", False)
  for key in ("learned_prior", "perceptual", "decoder_in_both")
)


@functools.cache
def method(name: str = "lp_aae_supervised_mnist", *changes: tuple[str, Any]):
  config = shipped.config(name, "smoke")
  config.optimizer.name, config.optimizer.lr = "sgd", 1e-2
  for key, value in changes:
    config.update_from_flattened_dict({key: value})
  made = shipped.build(config)
  return made, made.init(jax.random.key(3), {}), shipped.batch(config, 6)


@functools.cache
def step(*which: Any):
  """The compiled step of a method, for all laws that take one."""
  return jax.jit(method(*which)[0].train_step)


@pytest.mark.parametrize(
  "name,changes,without",
  [
    ("lp_aae_supervised_mnist", (("aae.read_noise", 2),), set()),
    # Captions are told, not asked for.
    ("lp_aae_text_shapes", (), {"classifier", "noise_reader"}),
    # C keeps the decoder from its turn.
    ("ablation_ab", (), {"classifier", "noise_reader", "decoder"}),
  ],
)
def test_each_turn_moves_the_trees_of_the_table(name, changes, without):
  made, state, batch = method(name, *changes)
  two = "image_discriminator", "generator"
  table = {**TABLE, **{who: TABLE[who] - without for who in two}}
  assert set(made.players) == set(table)

  program, key = moves.step(made), jax.random.key(0)
  for who, trees in table.items():
    shares = {name: float(name == who) for name in table}
    after, _ = program(state, batch, key, shares)
    moved = {
      net
      for net in state.params
      if differ(state.params[net], after.params[net])
    }
    assert moved == trees, who


def gradient(made, state, turn, data):
  loss = lambda p: getattr(made, f"{turn}_turn")(state, p, data)[0]
  return jax.jit(jax.grad(loss))(state.params)


def zero(tree: Any) -> bool:
  return all(not np.any(x) for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  "name,read,key",
  [
    ("lp_aae_supervised_mnist", 0, "aae.information"),
    ("lp_aae_supervised_mnist", 0, "aae.real_labels"),
    ("lp_aae_mnist", 2, "aae.information"),  # of noise
  ],
)
def test_what_q_learns_can_leave_the_trunk_alone(name, read, key):
  for informs, reaches in ((True, True), (False, False)):
    same = (("aae.informs_trunk", informs), ("aae.read_noise", read))
    made, state, batch = method(name, *same, (key, 1e4))
    quiet, _, _ = method(name, *same, (key, 1e-9))
    data = made.draws(batch, jax.random.key(0))
    loud, soft = (
      gradient(m, state, "image_discriminator", data)["image_discriminator"]
      for m in (made, quiet)
    )
    apart = differ(loud["conv_0"], soft["conv_0"])
    assert apart == reaches


def test_features_measure_and_do_not_move():
  made, state, batch = method()
  data = made.draws(batch, jax.random.key(0))
  same = made.error(state, state.params, data, data["image"])
  np.testing.assert_array_equal(same, np.zeros(6))
  turn = jax.jit(made.decoder_turn)
  _, (_, stats) = turn(state, state.params, data)
  assert set(stats) == {"decoder"}
  assert not zero(gradient(made, state, "decoder", data)["decoder"])


def test_without_b_the_error_is_of_pixels_and_knows_no_discriminator():
  made, state, batch = method("ablation_a", ("data.image_size", 8))
  data = made.draws(batch, jax.random.key(0))
  assert zero(gradient(made, state, "decoder", data)["image_discriminator"])
  copies = jnp.zeros_like(data["image"])
  np.testing.assert_allclose(
    made.error(state, state.params, data, copies),
    jnp.square(data["image"]).mean((1, 2, 3)),
    rtol=1e-5,
  )


def test_the_switches_choose_networks_and_turns():
  nets = {
    name: set(method(f"ablation_{name}")[0].nets)
    for name in ("none", "a", "ab", "abc")
  }
  plain = {"encoder", "decoder", "code_discriminator"}
  assert nets["none"] == plain
  full = plain | {"code_generator", "image_discriminator"}
  assert nets["a"] == nets["ab"] == nets["abc"] == full
  moved = {n: method(f"ablation_{n}")[0].players for n in ("none", "ab", "abc")}
  assert "generator" not in moved["none"]
  assert moved["ab"]["generator"].nets == ("code_generator",)
  assert moved["abc"]["generator"].nets == ("code_generator", "decoder")


def test_without_a_the_prior_s_codes_are_the_noise():
  made, state, batch = method("aae_mnist")
  data = made.draws(batch, jax.random.key(0))
  codes, _ = made.prior_codes(state, state.params, data, "")
  np.testing.assert_array_equal(codes, data["noise"])


def test_the_same_losses_on_a_fixed_prior_put_the_label_first():
  config = shipped.config("lp_aae_supervised_mnist", "same,smoke")
  made = shipped.build(config)
  state = made.init(jax.random.key(0), {})
  batch = shipped.batch(config, 6)
  data = made.draws(batch, jax.random.key(0))
  codes, _ = made.prior_codes(state, state.params, data, "")
  assert codes.shape == (6, config.model.latent)
  np.testing.assert_array_equal(codes[:, :10].argmax(1), batch["label"])


def test_both_turns_of_the_decoder_share_one_memory():
  config = shipped.config("lp_aae_supervised_mnist", "smoke")
  made = shipped.build(config)
  state = made.init(jax.random.key(0), {})
  assert set(state.opt["decoder"]) == {"decoder", "code_generator"}
  assert "generator" not in state.opt
  after, _ = jax.jit(made.train_step)(
    state, shipped.batch(config, 6), jax.random.key(0)
  )
  counts = {
    net: int(optax.tree.get_all_with_path(memory, "count")[0][1])
    for net, memory in after.opt["decoder"].items()
  }
  assert counts == {"decoder": 2, "code_generator": 1}


def test_simultaneous_turns_start_from_the_phase_s_weights():
  _, state, batch = method()
  together = ("lp_aae_supervised_mnist", ("aae.simultaneous", True))
  other, key = method(*together)[0], jax.random.key(0)
  a, _ = step()(state, batch, key)
  b, _ = step(*together)(state, batch, key)
  first, second = "code_discriminator", "encoder"
  assert not differ(a.params[first], b.params[first])
  assert differ(a.params[second], b.params[second])
  data = other.draws(batch, key)
  wanted = gradient(other, state, "encoder", data)["encoder"]
  jax.tree.map(
    lambda p, q, g: np.testing.assert_allclose(q, p - 1e-2 * g, atol=1e-6),
    state.params[second],
    b.params[second],
    wanted,
  )


def test_averages_move_in_a_network_s_own_turn_and_with_real_images():
  made, state, batch = method(
    "lp_aae_supervised_mnist", ("optimizer.lr", 1e-12)
  )
  after, _ = jax.jit(made.train_step)(state, batch, jax.random.key(0))
  data = made.draws(batch, jax.random.key(0))
  _, wanted = jax.jit(made.judge)(state, state.params, data["image"], None)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
    after.stats["image_discriminator"],
    wanted,
  )


def test_the_supervised_code_discriminator_depends_on_the_label():
  made, state, batch = method()
  data = made.draws(batch, jax.random.key(0))
  code = jax.random.normal(jax.random.key(1), (6, made.game.latent))
  run = lambda given: made.run(
    state, state.params, "code_discriminator", code, given
  )[0]
  one = made.judged(data)
  assert differ(run(one), run(jnp.roll(one, 1, 1)))
  with pytest.raises(ValueError, match="conditional; got no condition"):
    run(None)
  free, state, _ = method("lp_aae_unsupervised_mnist")
  assert free.judged(data) is None
  with pytest.raises(ValueError, match="unconditional; got a condition"):
    free.run(state, state.params, "code_discriminator", code, one)


def test_the_unsupervised_game_reads_no_label():
  key = jax.random.key(0)
  for which, reads in ((("lp_aae_unsupervised_mnist",), False), ((), True)):
    _, state, batch = method(*which)
    a, _ = step(*which)(state, batch, key)
    b, _ = step(*which)(state, batch | {"label": batch["label"][::-1]}, key)
    assert differ(a, b) == reads


def test_labels_make_the_samples():
  made, state, _ = method()
  key = jax.random.key(0)
  rows = lambda label: made.sample(state, key, 3, jnp.full(3, label))
  assert differ(rows(0), rows(1))
  free, state, _ = method("lp_aae_mnist")
  with pytest.raises(ValueError, match="no labels"):
    free.sample(state, key, 3, jnp.zeros(3, jnp.int32))


def test_a_set_without_labels_is_refused_by_the_supervised_game():
  made, _, batch = method()
  with pytest.raises(ValueError, match="needs a batch with 'label'"):
    made.draws({"image": batch["image"]}, jax.random.key(0))


def test_a_gaussian_posterior_draws():
  made, state, batch = method("aae_mnist", ("aae.posterior", "gaussian"))
  assert made.nets["encoder"].outputs == 2 * made.game.latent
  x = batch["image"]
  mean = made.encode(state, x)
  one, other = (made.encode(state, x, jax.random.key(i)) for i in (1, 2))
  assert differ(one, other) and differ(mean, one)


@pytest.mark.parametrize("prior", ["ring", "swiss_roll"])
def test_published_priors_are_of_a_game(prior):
  made, state, batch = method("aae_mnist", ("aae.prior", prior))
  step = jax.jit(made.train_step)
  after, metrics = step(state, batch, jax.random.key(0))
  assert np.isfinite(metrics["loss"])
  assert made.sample(after, jax.random.key(1), 2).shape == (2, 8, 8, 1)


def test_a_ring_that_is_told_labels_has_a_component_for_each():
  given = (*OFF, ("aae.prior", "ring"), ("model.latent", 2))
  made, state, batch = method("lp_aae_supervised_mnist", *given)
  batch = {**batch, "label": jnp.array([0, 3, 7, 3, 9, 5])}
  codes = [
    made.prior_codes(state, state.params, made.draws(batch, key), "")[0]
    for key in jax.random.split(jax.random.key(0), 50)
  ]
  mean = np.mean(codes, 0)
  turned = np.arctan2(mean[:, 1], mean[:, 0]) * 10 / (2 * np.pi)
  np.testing.assert_array_equal(np.rint(turned) % 10, batch["label"])
  after, metrics = jax.jit(made.train_step)(state, batch, jax.random.key(0))
  assert np.isfinite(metrics["loss"]) and differ(state.params, after.params)


@pytest.mark.parametrize(
  "key,value,word",
  [
    ("aae.condition", "labels", "condition must be one of none, supervised"),
    ("aae.code_loss", "wgan", "code_loss must be one of hinge"),
    ("aae.classes", 1, "classes must be at least 2"),
    ("model.latent", 10, "leaves no noise beside 10 classes"),
    ("data.image_size", 16, "make images of 8 x 8; got 16 x 16"),
    ("aae.code_hidden", (), "code_hidden must be numbers"),
  ],
)
def test_impossible_values_are_named(key, value, word):
  with pytest.raises(ValueError, match=word):
    method("lp_aae_supervised_mnist", (key, value))


def test_labels_of_real_images_are_of_the_supervised_game_alone():
  with pytest.raises(ValueError, match="real_labels is of the classifier of a"):
    method("lp_aae_unsupervised_mnist", ("aae.real_labels", 1.0))
  with pytest.raises(ValueError, match="real_labels must be at least 0"):
    method("lp_aae_supervised_mnist", ("aae.real_labels", -1.0))


def test_shared_code_of_the_networks_has_no_turns():
  """The turns are found by the names of the players."""
  made, _, _ = method()
  for who in made.players:
    assert hasattr(made, f"{who}_turn")
    assert not hasattr(aae_networks.Networks, f"{who}_turn")


@pytest.mark.parametrize("words", ["", "mnist"])
def test_rows_of_the_ablation_differ_in_one_switch(words):
  rows = [
    shipped.config(f"ablation_{letters}", words).to_dict()
    for letters in ("none", "a", "ab", "abc")
  ]
  # The image discriminator, which the first has not, has a rate of its own.
  scale = rows[0]["players"]["image_discriminator"]["lr_scale"]
  assert scale == (0.2 if words else 1.0)
  assert {row["optimizer"]["lr"] for row in rows} == {1e-3 if words else 2e-4}
  switches = ("learned_prior", "perceptual", "decoder_in_both")
  for before, after, switch in zip(rows, rows[1:], switches, strict=False):
    assert not before["aae"][switch]
    before["aae"][switch] = True
    assert before == after


def test_every_turn_has_a_block_that_other_switches_keep():
  for name in ("aae_mnist", "lp_aae_svhn", "lp_aae_text_shapes"):
    config = shipped.config(name, "smoke")
    assert set(config.players) == set(adversarial.PLAYERS)
  config = shipped.config("aae_mnist", "smoke")
  config.aae.learned_prior = True
  assert config.players == shipped.config("ablation_a", "mnist,smoke").players
  made = shipped.build(config)
  assert set(made.players) <= set(adversarial.PLAYERS)
  config.players.judge = {"lr_scale": 1.0}
  with pytest.raises(ValueError, match="players.judge: aae has no such player"):
    shipped.build(config)


def test_a_schedule_is_refused_where_the_decoder_moves_twice_alone():
  cosine = ("optimizer.schedule", "cosine")
  made, _, _ = method("ablation_ab", cosine)
  assert not made.players["generator"].memory
  with pytest.raises(ValueError, match="count each step twice"):
    method("ablation_abc", cosine)


def test_keys_of_what_there_is_not_are_refused():
  with pytest.raises(ValueError, match="architecture must be one of conv"):
    method("lp_aae_mnist", ("model.architecture", "residual"))
  for key, word in (
    ("real_labels", "one of the switches"),
    ("read_noise", "or aae.decoder_in_both"),
  ):
    with pytest.raises(ValueError, match=f"{key}.*{word}"):
      method("lp_aae_supervised_mnist", *OFF, (f"aae.{key}", 1))
  with pytest.raises(ValueError, match="random labels are of none"):
    method("lp_aae_unsupervised_mnist", ("aae.coverage", 1.0))
  with pytest.raises(ValueError, match="coverage is of a learned prior"):
    method("lp_aae_mnist", OFF[0], ("aae.coverage", 1.0))
  config = shipped.config("lp_aae_supervised_mnist", "smoke")
  config.update_from_flattened_dict(dict(OFF))
  made = shipped.build(config)
  assert not made.assigning and not made.game.informed
  for key, value in (
    ("image_loss", "hinge"),
    ("image_normalisation", "group"),
  ):
    with pytest.raises(ValueError, match=f"aae.{key}.*of an image discrim"):
      method("aae_mnist", (f"aae.{key}", value))
  with pytest.raises(ValueError, match="scale is of Gaussian noise"):
    method("aae_mnist", ("aae.prior", "ring"), ("aae.scale", 2.0))
