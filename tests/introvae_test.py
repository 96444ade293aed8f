"""Laws of IntroVAE's two turns (introvae.md 1.3, 6 and 7)."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from genlat import state as states
from genlat.losses import elbo
from genlat.methods.vae import Vae
from genlat.state import State
from tests import moves, shipped

ROWS, SIDE, LATENT = 6, 8, 3


@functools.cache
def method(*changes: tuple[str, Any]):
  """A small game that moves by plain gradient descent of rate 1."""
  config = shipped.config("introvae_mnist", "smoke")
  config.model.channels, config.model.latent = (4,), LATENT
  config.data.image_size = SIDE
  config.optimizer.name, config.optimizer.lr = "sgd", 1.0
  config.introvae.margin = 3.0
  for key, value in changes:
    if key == "encoder":  # the rate of the encoder alone
      config.players.encoder = ConfigDict({"lr_scale": value})
    else:
      config.update_from_flattened_dict({key: value})
  made = shipped.build(config)
  return made, made.init(jax.random.key(5), {})


_PLAYED: dict[int, Any] = {}


def play(made, state, data):
  """Both turns, compiled once for a game that `method` keeps."""
  if id(made) not in _PLAYED:
    _PLAYED[id(made)] = made, jax.jit(made.turns)
  return _PLAYED[id(made)][1](state, data)


def data(made, seed: int = 0):
  shape = (ROWS, *made.nets.image_shape)
  image = jax.random.uniform(jax.random.key(seed), shape)
  return made.draws({"image": image}, jax.random.key(seed + 1))


def moved(before: State, after: State, net: str):
  """Minus the gradient that moved a network."""
  return jax.tree.map(lambda a, b: a - b, after.params[net], before.params[net])


def close(a: Any, b: Any, **tolerance: float) -> None:
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def largest(tree: Any) -> float:
  return max(float(jnp.abs(x).max()) for x in jax.tree.leaves(tree))


OFFICIAL = (
  ("introvae.hinge", "batch_mean"),
  ("introvae.half", False),
  ("introvae.alpha_encoder", 0.25),
  ("introvae.alpha_decoder", 0.5),
  ("introvae.beta", 0.05),
)
# hinge of the KLs of a batch, its weight, the decoder's, that of the SSE
FORMS = {
  "official": (lambda kl: jax.nn.relu(0.3 - kl.mean()), 0.25, 0.5, 0.05),
  "paper": (lambda kl: jax.nn.relu(0.3 - kl).mean(), 0.25, 0.25, 0.05 / 2),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_official_code_s_retained_graph_gives_our_gradients(form):
  """Images are decoded once; two backward passes add up in the decoder."""
  hinge, alpha_encoder, alpha_decoder, weight = FORMS[form]
  keys = OFFICIAL if form == "official" else (("introvae.beta", 0.05),)
  with jax.enable_x64(True):
    made, state = method(
      *keys, ("introvae.margin", 0.3), ("introspection.statistics", "all")
    )
    nets = dataclasses.replace(
      made.nets,
      encoder=made.nets.encoder.clone(dtype=jnp.float64),
      decoder=made.nets.decoder.clone(dtype=jnp.float64),
    )
    made = dataclasses.replace(made, nets=nets)
    wide = lambda t: jax.tree.map(lambda x: x.astype(jnp.float64), t)
    state = state.replace(params=wide(state.params), stats=wide(state.stats))
    d = wide(data(made))
    x, eps, noise = d["image"], d["noise"][:, 0], d["prior"]
    phi, theta = state.params["encoder"], state.params["decoder"]

    def encode(phi, images):
      variables = {"params": phi, "batch_stats": state.stats["encoder"]}
      out, _ = nets.encoder.apply(
        variables, images, train=True, mutable=["batch_stats"]
      )
      return jnp.split(out, 2, -1)

    def decode(theta, codes):
      variables = {"params": theta, "batch_stats": state.stats["decoder"]}
      return nets.decoder.apply(
        variables, codes, train=True, mutable=["batch_stats"]
      )[0]

    def kl(phi, images):
      mean, lv = encode(phi, images)
      return (0.5 * (jnp.exp(lv) + mean**2 - 1.0 - lv)).sum(1)

    def code(phi):
      mean, lv = encode(phi, x)
      return mean + jnp.exp(0.5 * lv) * eps

    sse = lambda image: ((image - x) ** 2).sum((1, 2, 3)).mean()

    def loss_e(phi, theta, fake, image):
      hinges = hinge(kl(phi, image)) + hinge(kl(phi, fake))
      margin = kl(phi, x).mean() + alpha_encoder * hinges
      return weight * sse(decode(theta, code(phi))) + margin

    @jax.jit  # one compilation in place of hundreds
    def by_hand(phi, theta):
      graph = lambda theta: (decode(theta, noise), decode(theta, code(phi)))
      (fake, image), back = jax.vjp(graph, theta)
      step = jax.grad(lambda p: loss_e(p, theta, fake, image))(phi)
      after = jax.tree.map(lambda p, g: p - g, phi, step)
      from_e = weight * jax.grad(sse)(image)
      from_g = jax.grad(lambda i: alpha_decoder * kl(after, i).mean())
      (wanted,) = back((from_g(fake), from_e + from_g(image)))
      return after, wanted

    after, wanted = by_hand(phi, theta)
    new, metrics = play(made, state, d)
    # Images lie on both sides of the margin: the two hinges are unlike.
    assert 0 < float(metrics["hinge_active"]) < 1
    close(new.params["encoder"], after, rtol=1e-9, atol=1e-12)
    minus = jax.tree.map(jnp.negative, wanted)
    close(moved(state, new, "decoder"), minus, rtol=1e-7, atol=1e-10)


def test_hinges_reach_no_weight_of_the_decoder():
  made, state = method(("introvae.beta", 0.0))
  turn = lambda p: made.encoder_turn(state, p, data(made))
  assert float(turn(state.params)[1][0]["hinge_active"]) > 0.0
  gradient = jax.jit(jax.grad(lambda p: turn(p)[0]))(state.params)
  assert largest(gradient["decoder"]) == 0.0
  assert largest(gradient["encoder"]) > 0.0


def test_a_small_step_of_the_encoder_lowers_its_loss_and_lifts_made_images():
  # So large a weight that the pull of real images is the smaller force.
  made, state = method(("optimizer.lr", 1e-3), ("introvae.alpha_encoder", 10.0))
  d = data(made)
  after = state.replace(
    params={
      **state.params,
      "encoder": play(made, state, d)[0].params["encoder"],
    }
  )
  turn = jax.jit(lambda s: made.encoder_turn(s, s.params, d))
  (before, (was, _)), (loss, (now, _)) = turn(state), turn(after)
  assert float(loss) < float(before)
  # Below the margin the hinge pushes the KL of made images up.
  assert float(was["hinge_active"]) == 1.0
  kinds = ("kl_rec", "kl_fake")
  assert sum(float(now[k]) for k in kinds) > sum(float(was[k]) for k in kinds)


def test_a_code_without_variance_is_its_mean():
  made, state = method()
  d = data(made)
  mean = jax.random.normal(jax.random.key(2), (ROWS, LATENT))
  sure = jnp.full((ROWS, LATENT), -400.0)
  z = made.code(mean, sure, d["noise"][:, 0])
  np.testing.assert_array_equal(z, mean)
  # Its KL grows by half a nat a dimension for each nat of precision.
  kl = elbo.kl_standard_normal
  np.testing.assert_allclose(
    kl(mean, sure) - kl(mean, sure + 100.0), 50.0 * LATENT, rtol=1e-5
  )


def test_in_training_an_image_depends_on_its_neighbours():
  made, state = method()
  images = data(made)["image"]
  other = images.at[1:].set(1.0 - images[1:])
  in_training = lambda x: made.encode_in(state.params, state.stats, x)[0][0]
  assert np.any(in_training(images) != in_training(other))
  encode = lambda x: made.encode(state, x)[0]
  np.testing.assert_allclose(encode(images), encode(other), atol=1e-6)


def test_beyond_the_margin_the_encoder_moves_as_a_vae_s():
  far, state = method(("introvae.margin", 0.0))
  plain, _ = method(("introvae.margin", 3.0), ("introvae.alpha_encoder", 0.0))
  near, _ = method()
  d = data(far)
  runs = [play(m, state, d)[0].params["encoder"] for m in (far, plain, near)]
  close(runs[0], runs[1], atol=1e-7)
  difference = jax.tree.map(lambda a, b: a - b, runs[0], runs[2])
  assert largest(difference) > 1e-3


def test_the_decoder_meets_the_encoder_that_has_moved():
  made, state = method()
  still, _ = method(("encoder", 1e-12))
  d = data(made)
  moves = [moved(state, play(m, state, d)[0], "decoder") for m in (made, still)]

  def loss(theta):
    params = {**state.params, "decoder": theta}
    params["encoder_before"] = params["encoder"]
    return made.decoder_turn(state, params, d)[0]

  minus = jax.tree.map(
    jnp.negative, jax.jit(jax.grad(loss))(state.params["decoder"])
  )
  close(moves[1], minus, rtol=1e-4, atol=1e-6)
  difference = jax.tree.map(lambda a, b: a - b, *moves)
  assert largest(difference) > 1e-4


def test_without_the_game_it_is_the_vae_of_the_same_weights():
  """Both turns without alpha, the pretraining, and method vae agree."""
  made, state = method(
    ("introvae.alpha_encoder", 0.0), ("introvae.alpha_decoder", 0.0)
  )
  vae, _ = method(("method", "vae"), ("vae.reconstruction", 1.0))
  assert isinstance(vae, Vae)
  d = data(made)
  one, _ = play(made, state, d)
  two, _ = jax.jit(made.warm)(state, d)

  @jax.jit
  def together(joint, d):
    return states.descend_together(
      joint,
      vae.players,
      {"vae": functools.partial(vae.loss, joint)},
      {"image": d["image"], "noise": d["noise"][:, :1]},
    )

  joint = states.create(state.params, state.stats, vae.players)
  three, _ = together(joint, d)
  close(one.params, two.params, rtol=1e-4, atol=1e-6)
  close(one.params, three.params, rtol=1e-4, atol=1e-6)


def test_the_kl_of_samples_alone_still_moves_the_decoder():
  """w_neg = 0 does not switch off the decoder's part."""
  made, state = method(("introvae.alpha_encoder", 0.0))
  vae, _ = method(
    ("introvae.alpha_encoder", 0.0), ("introvae.alpha_decoder", 0.0)
  )
  d = data(made)
  moves = [moved(state, play(m, state, d)[0], "decoder") for m in (made, vae)]
  difference = jax.tree.map(lambda a, b: a - b, *moves)
  assert largest(difference) > 1e-4


def test_the_official_pretraining_weighs_all_by_one():
  made, state = method(*OFFICIAL, ("introvae.plain_pretrain", True))
  _, metrics = jax.jit(made.warm)(state, data(made))
  wanted = metrics["reconstruction"] + metrics["kl_real"]
  np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-6)


def test_the_pretraining_ends_by_itself():
  made, state = method(("introspection.pretrain", 0.2))
  assert made.pretrain == 2
  batch = {"image": data(made)["image"]}
  step, games, logged = jax.jit(made.train_step), [], []
  for i in range(4):
    state, metrics = step(state, batch, jax.random.key(i))
    games.append(float(metrics["game"]))
    logged.append(set(made.measured(jax.tree.map(float, metrics))))
  assert games == [0.0, 0.0, 1.0, 1.0]
  assert step._cache_size() == 1
  # What the pretraining does not compute is not logged as 0.
  norms = {"grad_norm/encoder", "grad_norm/decoder"}
  assert logged[0] == {"loss", "reconstruction", "kl_real", "game", *norms}
  assert logged[3] == set(metrics) > {"kl_fake", "hinge_active"}


def test_within_two_hundred_steps_samples_have_the_larger_kl():
  """On the 8x8 digits; a small margin, so that the game is soon at it."""
  made, state = method(
    ("introvae.beta", 8.0),
    ("introvae.margin", 10.0),
    ("optimizer.name", "adam"),
    ("optimizer.lr", 3e-3),
  )
  log = moves.on_digits(made, state, 200)
  mean = lambda key: np.mean([m[key] for m in log[-50:]])
  assert 1.1 * mean("kl_real") < mean("kl_fake") < mean("kl_rec") < 10.0
  assert mean("reconstruction") < 0.8 * np.mean(
    [m["reconstruction"] for m in log[:50]]
  )


def test_averages_move_with_the_passes_that_the_key_names():
  weights = {"all": [0.1 * 0.9**i for i in range(4, -1, -1)], "real": [0.1]}
  for kind, shares in weights.items():
    made, state = method(
      ("introspection.statistics", kind), ("optimizer.lr", 1e-12)
    )
    d = data(made)
    new, _ = play(made, state, d)
    show = made.nets.observation.mean

    @jax.jit
    def passes(state, d, made=made):
      mean, lv, _ = made.encode_in(state.params, state.stats, d["image"])
      z = mean + jnp.exp(0.5 * lv) * d["noise"][:, 0]
      raw, _ = made.decode_in(state.params, state.stats, z)
      fake, first = made.decode_in(state.params, state.stats, d["prior"])
      _, second = made.decode_in(state.params, {"decoder": first}, z)
      return raw, fake, second

    raw, fake, second = passes(state, d)
    images = [d["image"], show(raw), show(fake), show(raw), show(fake)]
    stem = state.params["encoder"]["stem"]["kernel"]
    average = jnp.zeros(4)
    kept = 0.9 ** len(shares)
    for share, image in zip(shares, images, strict=False):
      y = jax.lax.conv_general_dilated(
        image, stem, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
      )
      average += share * y.mean((0, 1, 2))
    np.testing.assert_allclose(sum(shares) + kept, 1.0)
    got = new.stats["encoder"]["stem_norm"]["batch"]["mean"]
    np.testing.assert_allclose(got, average, rtol=1e-4, atol=1e-6)
    close(new.stats["decoder"], second, rtol=1e-4, atol=1e-6)


def test_age_s_regulariser_judges_the_batch():
  made, state = method(("introvae.regulariser", "age"))
  d = data(made)
  _, metrics = play(made, state, d)
  encode = lambda x: made.encode_in(state.params, state.stats, x)[0]
  mean = jax.jit(encode)(d["image"])
  wanted = elbo.kl_standard_normal(
    mean.mean(0)[None], jnp.log(mean.var(0))[None]
  )
  np.testing.assert_allclose(metrics["kl_real"], wanted[0], rtol=1e-4)
  # No noise, and no KL of single images, in evaluation and pretraining.
  loud = d | {"noise": 9.0 + d["noise"]}
  for step in (made.turns, made.warm):
    step = jax.jit(step)
    _, one = step(state, d)
    _, other = step(state, loud)
    np.testing.assert_array_equal(
      one["reconstruction"], other["reconstruction"]
    )
  values = made.eval_step(state, {"image": d["image"]}, jax.random.key(0))
  assert set(values) == {"vae_loss", "reconstruction", "mse"}
  assert not made.standard
  codes = made.encode(state, d["image"], jax.random.key(0))
  np.testing.assert_array_equal(codes, made.encode(state, d["image"]))


def test_spread_is_the_ratio_of_mean_distances():
  from genlat.methods.introspection import spread

  real = jax.random.uniform(jax.random.key(0), (5, 3))
  made = 0.5 * real + 7.0
  np.testing.assert_allclose(spread(made, real), 0.5, rtol=1e-4)
  pairs = jnp.square(real[:, None] - real[None]).sum(-1).mean()
  np.testing.assert_allclose(pairs, 2.0 * real.var(0).sum(), rtol=1e-5)
