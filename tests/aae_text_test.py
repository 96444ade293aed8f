"""Laws of the learned prior that is told captions (aae.md 8, 10.13)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import sharding
from genlat.losses import adversarial
from genlat.methods.aae_draws import of_others
from genlat.nets.discriminators import ImageDiscriminator
from tests import shipped
from tests.moves import differ

ROWS = 6


@functools.cache
def game(*changes: tuple[str, Any]):
  config = shipped.config("lp_aae_text_shapes", "smoke")
  for key, value in changes:
    config.update_from_flattened_dict({key: value})
  made = shipped.build(config)
  state = made.init(jax.random.key(3), {})
  return made, state, shipped.batch(config, ROWS), config


def test_a_step_hears_the_captions_and_neither_labels_nor_attributes():
  made, state, batch, _ = game()
  step = sharding.compile(made.train_step)
  after, metrics = step(state, batch, jax.random.key(0))
  assert all(np.isfinite(v) for v in metrics.values())
  told = {"label": 7 - batch["label"], "attribute": jnp.ones((ROWS, 5), int)}
  again, _ = step(state, batch | told, jax.random.key(0))
  assert not differ(after.params, again.params)
  other, _ = step(
    state, batch | {"text": batch["text"][::-1]}, jax.random.key(0)
  )
  for net in ("code_generator", "code_discriminator", "image_discriminator"):
    assert differ(after.params[net], other.params[net]), net
  # No step moves what it keeps of captions; the encoder is not in the state.
  assert not differ(after.frozen, state.frozen)
  assert set(after.params) == {
    *("encoder", "decoder", "code_generator"),
    *("code_discriminator", "image_discriminator"),
  }


@pytest.mark.parametrize("copies", [True, False])
def test_every_turn_has_its_loss_of_the_row_s_own_captions(copies):
  made, state, batch, _ = game(
    ("aae.fools_by_copies", copies),
    ("aae.mismatch", 0.7),
    ("aae.reconstruction", 3.0),
    ("aae.encoder_reconstruction", 2.5),
    ("aae.real_penalty", 0.3),
    ("aae.coverage", 1.5),
    ("aae.coverage_draws", 5),
  )
  d = made.draws(batch, jax.random.key(0))
  run = lambda net, *x: made.run(state, state.params, net, *x)[0]
  judge = lambda *x: run("image_discriminator", *x).logits
  soft = lambda x: np.log1p(np.exp(np.asarray(x, np.float64))).mean()
  x, first, second = d["image"], d["given"], d["given_2"]
  prior = run("code_generator", d["noise"], first)
  codes = run("encoder", x)
  copy = jnp.tanh(run("decoder", codes))
  fake = jnp.tanh(run("decoder", run("code_generator", d["noise_2"], second)))
  error = float(((copy - x) ** 2).mean())
  wrong = judge(
    jnp.repeat(x, 4, 0), d["other_2"].reshape(-1, d["given"].shape[1])
  )
  slope = jax.grad(lambda x: judge(x, second).sum())(x)
  penalty = 0.5 * float((slope**2).sum((1, 2, 3)).mean())
  drawn, coded = (run("code_discriminator", z, first) for z in (prior, codes))
  cover = d["cover"].reshape(ROWS * 5, -1)
  draws = run("code_generator", cover, jnp.repeat(second, 5, 0))
  apart = draws.reshape(ROWS, 5, -1) - codes[:, None]
  left_out = float((apart**2).mean(-1).min(1).mean())
  fooled = soft(-judge(fake, second)) + 1.5 * left_out
  wanted = {
    "code_discriminator": soft(-drawn) + soft(coded),
    "encoder": soft(-coded) + 2.5 * error,
    "decoder": 3.0 * error,
    "image_discriminator": soft(-judge(x, second))
    + soft(judge(fake, second))
    + soft(judge(copy, second))
    + 0.7 * soft(wrong)
    + 0.3 * penalty,
    "generator": fooled + (soft(-judge(copy, second)) if copies else 0.0),
  }
  for who, value in wanted.items():
    turn = sharding.compile(getattr(made, f"{who}_turn"))
    loss, _ = turn(state, state.params, d)
    np.testing.assert_allclose(loss, value, rtol=1e-5, err_msg=who)


def test_coverage_moves_the_code_generator_alone():
  made, state, batch, _ = game(("aae.coverage", 1.0))
  data = made.draws(batch, jax.random.key(0))
  slope = jax.jit(jax.grad(lambda p: made.left_out(state, p, data)))(
    state.params
  )
  moved = {
    net
    for net, own in slope.items()
    if differ(own, jax.tree.map(jnp.zeros_like, own))
  }
  assert moved == {"code_generator"}
  noise = [np.asarray(data[k]).reshape(-1) for k in ("noise_2", "cover")]
  assert len(np.unique(np.concatenate(noise))) == sum(map(len, noise))


def test_the_code_discriminator_may_be_told_no_captions():
  made, state, batch, _ = game(("aae.code_captions", False))
  told, whole, _, _ = game()
  data = made.draws(batch, jax.random.key(0))
  other = data | {"given": -data["given"]}
  mute = lambda d: made.encoder_turn(state, state.params, d)[0]
  heard = lambda d: told.encoder_turn(whole, whole.params, d)[0]
  assert float(mute(data)) == float(mute(other))
  assert float(heard(data)) != float(heard(other))
  # The image discriminator still is.
  generator = lambda d: made.generator_turn(state, state.params, d)[0]
  assert float(generator(data)) != float(
    generator(data | {"given_2": -data["given_2"]})
  )


def test_a_batch_without_captions_is_refused():
  made, _, batch, _ = game()
  with pytest.raises(ValueError, match="needs a batch with 'text'"):
    made.draws({"image": batch["image"]}, jax.random.key(0))


def test_each_row_is_told_a_caption_of_its_own_and_the_likest_of_another():
  made, _, batch, _ = game()
  seen = set()
  for seed in range(12):
    data = made.draws(batch, jax.random.key(seed))
    for phase in ("", "_2"):
      given, other = data[f"given{phase}"], data[f"other{phase}"]
      own = (given[:, None] == batch["text"]).all(-1)
      assert own.any(1).all()
      seen |= set(np.asarray(own.argmax(1)).tolist())
      wanted = of_others(given, batch["text"], 4, likest=True)
      np.testing.assert_array_equal(other, wanted)
  assert seen == {0, 1, 2}


def test_the_key_says_which_captions_of_others():
  made, _, batch, _ = game(("aae.likest_captions", False))
  data = made.draws(batch, jax.random.key(0))
  wanted = of_others(data["given_2"], batch["text"], 4, likest=False)
  np.testing.assert_array_equal(data["other_2"], wanted)
  likest = of_others(data["given_2"], batch["text"], 4, likest=True)
  assert (np.asarray(wanted) != np.asarray(likest)).any()


def test_the_likest_caption_is_of_another_scene_and_by_cosine():
  rng = np.random.default_rng(0)
  texts = rng.normal(size=(7, 3, 4)).astype(np.float32)
  texts[4] = texts[1][::-1]  # one scene, in another order
  texts[6, 1] = texts[2, 0]  # they share one caption
  texts[3] *= 9.0  # length does not count
  told = texts[np.arange(7), [0, 2, 0, 1, 1, 0, 2]]
  found, next_ = (
    np.asarray(
      of_others(jnp.asarray(told), jnp.asarray(texts), 6, likest=likest)
    )
    for likest in (True, False)
  )
  scenes = [{1, 4}, {2, 6}]
  for i in range(7):
    wrong = [
      j for j in range(7) if j != i and not any({i, j} == s for s in scenes)
    ]
    cosines = [
      told[i] @ told[j] / np.linalg.norm(told[i]) / np.linalg.norm(told[j])
      for j in wrong
    ]
    wanted = told[np.array(wrong)[np.argsort(cosines)[::-1]]]
    np.testing.assert_array_equal(found[i, : len(wrong)], wanted)
    after = told[sorted(wrong, key=lambda j, i=i: (j - i) % 7)]
    np.testing.assert_array_equal(next_[i, : len(wrong)], after)
    own = np.broadcast_to(told[i], found[i, len(wrong) :].shape)
    np.testing.assert_array_equal(found[i, len(wrong) :], own)
    np.testing.assert_array_equal(next_[i, len(wrong) :], own)


def test_the_discriminator_joins_the_caption_after_f():
  net = ImageDiscriminator(
    channels=(4, 8), hidden=5, normalisation="none", dtype=jnp.float32, text=3
  )
  images = jax.random.uniform(jax.random.key(0), (4, 16, 16, 3))
  text = jax.random.normal(jax.random.key(1), (4, 7))
  variables = net.init(jax.random.key(2), images, text, train=True)
  a = net.apply(variables, images, text, train=True)
  b = net.apply(variables, images, -text, train=True)
  np.testing.assert_array_equal(a.features, b.features)
  assert (np.asarray(a.logits) != np.asarray(b.logits)).all()
  # The 1x1 convolution is a product at each place, by hand.
  p, text = jax.tree.map(np.asarray, (variables["params"], text))
  leaky = lambda x: np.where(x > 0, x, 0.2 * x)
  told = leaky(text @ p["text"]["kernel"] + p["text"]["bias"])
  place = np.asarray(a.features).reshape(4, 4, 4, 8)
  both = np.concatenate(
    [place, np.broadcast_to(told[:, None, None], (4, 4, 4, 3))], -1
  )
  x = leaky(both @ p["conv_text"]["kernel"][0, 0] + p["conv_text"]["bias"])
  x = leaky(x.reshape(4, -1) @ p["dense"]["kernel"] + p["dense"]["bias"])
  logits = x @ p["head"]["kernel"][:, 0] + p["head"]["bias"][0]
  np.testing.assert_allclose(a.logits, logits, rtol=1e-4, atol=1e-6)
  for wrong, net_ in ((None, net), (text, net.clone(text=0))):
    with pytest.raises(ValueError, match="caption"):
      net_.apply(variables, images, wrong, train=True)


def test_wrong_pairs_are_judged_beside_right_ones():
  made, state, batch, _ = game(("aae.image_normalisation", "batch"))
  data = made.draws(batch, jax.random.key(0))
  own = data["given_2"][:, None]
  data["other_2"] = data["other_2"].at[:4, 1:].set(own[:4])
  judge = jax.jit(lambda data: made.judge_real(state, state.params, data))
  right, _, got = judge(data)
  # One pass of the images five times: as one batch to the normalisation.
  others = [data["other_2"][:, i] for i in range(4)]
  every, _ = made.judge(
    state,
    state.params,
    jnp.concatenate([data["image"]] * 5),
    jnp.concatenate([data["given_2"], *others]),
  )
  np.testing.assert_allclose(right.logits, every.logits[:ROWS], rtol=1e-4)
  np.testing.assert_allclose(
    right.features, every.features[:ROWS], rtol=1e-4, atol=1e-6
  )
  # What is no other caption is left out.
  losses = adversarial.of_made(every.logits[ROWS:], made.game.image_loss)
  losses = np.asarray(losses).reshape(4, ROWS)
  wanted = np.concatenate([losses[0], losses[1:, 4:].ravel()]).mean()
  np.testing.assert_allclose(got, wanted, rtol=1e-4)
  data["other_2"] = jnp.broadcast_to(own, data["other_2"].shape)
  assert float(judge(data)[2]) == 0.0
  # Without a weight there is no wrong pair in the batch.
  alone, state, _, _ = game(("aae.mismatch", 0.0))
  plain, _, none = alone.judge_real(state, state.params, data)
  wanted, _ = alone.judge(state, state.params, data["image"], data["given_2"])
  np.testing.assert_array_equal(plain.logits, wanted.logits)
  assert float(none) == 0.0


def test_by_groups_a_row_is_judged_alone():
  """Batch normalisation sees a row's neighbours; groups of channels do not."""
  told = {}
  for kind in ("", "group"):
    made, state, batch, _ = game(("aae.image_normalisation", kind))
    data = made.draws(batch, jax.random.key(0))
    other = {k: data[k].at[1:].multiply(-1) for k in ("image", "given_2")}
    rows = [
      made.judge(state, state.params, d["image"], d["given_2"])[0].logits[0]
      for d in (data, data | other)
    ]
    told[kind] = abs(float(rows[0] - rows[1]))
  assert told["group"] < 1e-5 < 1e-3 < told[""]


def test_their_weight_is_the_key_s():
  values = []
  for weight in (1.0, 2.0, 4.0):
    made, state, batch, _ = game(("aae.mismatch", weight))
    data = made.draws(batch, jax.random.key(0))
    value, (metrics, _) = sharding.compile(made.image_discriminator_turn)(
      state, state.params, data
    )
    np.testing.assert_allclose(value, metrics["image_discriminator"])
    values.append(float(value))
  np.testing.assert_allclose(
    values[2] - values[0], 3 * (values[1] - values[0]), rtol=1e-4
  )
  assert values[1] > values[0]


def test_samples_follow_the_caption_and_else_the_kept_ones():
  made, state, _, config = game()
  size = config.text.size
  codes = lambda s, c=None: made.sample_codes(s, jax.random.key(1), 3, c)
  one, two = jnp.ones((3, size)), -jnp.ones((3, size))
  assert differ(codes(state, one), codes(state, two))
  # With one caption kept, it is the one that is drawn.
  kept = state.replace(
    frozen=state.frozen | {"captions": jnp.ones((1024, size))}
  )
  np.testing.assert_array_equal(codes(kept), codes(state, one))
  assert made.text == size and made.classes == 0 and not made.labelled


@pytest.mark.parametrize(
  ("changes", "line"),
  [
    ({"aae.learned_prior": False, "aae.noise": 0}, "need a learned prior"),
    ({"aae.condition": "none"}, r"config\.aae\.mismatch is of captions"),
    (
      {
        "aae.condition": "none",
        "aae.mismatch": 0.0,
        "aae.code_captions": False,
      },
      r"config\.aae\.code_captions is of captions",
    ),
    ({"aae.mismatch": -1.0}, r"config\.aae\.mismatch must be at least 0"),
    ({"aae.image_loss": "wasserstein"}, "captions a Wasserstein critic has no"),
    ({"aae.code_loss": "wasserstein", "aae.penalty": 0.0}, "without.*penalty"),
    (
      {"aae.image_loss": "wasserstein", "aae.penalty": 0.0, "aae.mismatch": 0.0}
      | {"aae.real_penalty": 1.0},
      "without.*penalty",
    ),
    ({"aae.text_hidden": 0}, r"config\.aae\.text_hidden must be at least 1"),
  ],
)
def test_values_that_make_no_game_are_named(changes, line):
  config = shipped.config("lp_aae_text_shapes", "smoke")
  config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=line):
    shipped.build(config)
