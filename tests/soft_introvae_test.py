"""Laws of Soft-IntroVAE's two turns (introvae.md 5.3)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import moves, shipped

ROWS, SIDE, LATENT = 6, 8, 3


@functools.cache
def method(*changes: tuple[str, Any]):
  """A small game that moves by plain gradient descent of rate 1."""
  config = shipped.config("soft_introvae_mnist", "smoke")
  config.model.channels, config.model.latent = (4,), LATENT
  config.data.image_size = SIDE
  config.optimizer.name, config.optimizer.lr = "sgd", 1.0
  config.optimizer.schedule = "constant"
  config.soft_introvae.beta_fake = 2.0
  for key, value in changes:
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
  image = jax.random.uniform(jax.random.key(seed), (ROWS, SIDE, SIDE, 1))
  return made.draws({"image": image}, jax.random.key(seed + 1))


WEIGHTS = (
  ("soft_introvae.beta_reconstruction", 0.7),
  ("soft_introvae.beta_kl", 0.3),
  ("soft_introvae.gamma", 0.9),
)


def reference(made, state, d, *, detach: bool = False, target: Any = None):
  """The official code's losses of (encoder, decoder), as functions.

  Written out from the networks alone; in the code only the image that is
  encoded again is detached in the encoder's turn, and in the decoder's turn
  the codes and the targets of made images are, unless another decoder, the
  `target`, decodes these codes.
  """
  x, eps, s = d["image"], d["noise"], 1.0 / SIDE**2
  stop = jax.lax.stop_gradient
  held = stop if target is None else lambda value: value
  enc = lambda p, y: jnp.split(
    made.nets.encode({"encoder": p}, state.stats, y, train=True)[0], 2, -1
  )
  dec = lambda p, z: made.nets.decode(
    {"decoder": p}, state.stats, z, train=True
  )[0]
  again = lambda p, z: dec(p if target is None else target, z)
  code = lambda post, i: post[0] + jnp.exp(0.5 * post[1]) * eps[:, i]
  sse = lambda a, b: ((a - b) ** 2).sum((1, 2, 3))

  def kl(post):
    return 0.5 * (jnp.exp(post[1]) + post[0] ** 2 - 1 - post[1]).sum(1)

  def encoder(phi, theta):
    real = enc(phi, x)
    image = dec(theta, code(real, 0))
    loss = s * (0.7 * sse(x, image) + 0.3 * kl(real)).mean()
    for i, y in enumerate((image, dec(theta, d["prior"])), 1):
      post = enc(phi, stop(y))
      error = sse(again(theta, code(post, i)), stop(y) if detach else y)
      loss += 0.25 * jnp.exp(-2 * s * (0.7 * error + 2.0 * kl(post))).mean()
    return loss

  def decoder(phi, theta, z):
    image = dec(theta, stop(z))
    loss = 0.7 * sse(x, image).mean()
    for i, y in enumerate((image, dec(theta, d["prior"])), 3):
      post = enc(phi, y)
      error = sse(again(theta, held(code(post, i))), held(y)).mean()
      loss += 0.5 * 0.3 * kl(post).mean() + 0.5 * 0.9 * 0.7 * error
    return s * loss

  return encoder, decoder, lambda phi: code(enc(phi, x), 0)


@pytest.mark.parametrize("detach", [False, True])
def test_both_losses_and_their_gradients_are_the_official_code_s(detach):
  made, state = method(*WEIGHTS, ("soft_introvae.detach_target", detach))
  d = data(made)
  agree(made, state, d, reference(made, state, d, detach=detach))


def test_a_copy_of_other_weights_decodes_the_codes_of_made_images():
  made, state = method(*WEIGHTS, ("soft_introvae.bootstrap", 0.2))
  other = jax.tree.map(lambda p: 0.5 * p + 0.01, state.params["decoder"])
  state = state.replace(frozen={**state.frozen, "target_decoder": other})
  d = data(made)
  agree(made, state, d, reference(made, state, d, target=other))


def agree(made, state, d, written) -> None:
  """Losses and moves of both turns against losses that were written out."""
  encoder, decoder, code = written
  phi, theta = state.params["encoder"], state.params["decoder"]
  new, metrics = play(made, state, d)

  loss, slope = jax.jit(jax.value_and_grad(encoder))(phi, theta)
  np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
  moved = jax.tree.map(lambda p, g: p - g, phi, slope)
  close(new.params["encoder"], moved, atol=1e-6)

  after = new.params["encoder"]
  descent = jax.jit(jax.value_and_grad(decoder, 1))
  loss, slope = descent(after, theta, code(phi))
  np.testing.assert_allclose(metrics["loss_decoder"], loss, rtol=1e-5)
  moved = jax.tree.map(lambda p, g: p - g, theta, slope)
  close(new.params["decoder"], moved, atol=1e-6)


def close(a: Any, b: Any, **tolerance: float) -> None:
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_the_target_of_a_reconstruction_carries_gradient_unless_detached():
  """So that the two cases above are two."""
  made, state = method(*WEIGHTS)
  d = data(made)
  one, other = (
    jax.jit(jax.grad(reference(made, state, d, detach=detach)[0]))(
      state.params["encoder"], state.params["decoder"]
    )
    for detach in (False, True)
  )
  apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), one, other)
  assert max(jax.tree.leaves(apart)) > 1e-5


def test_averages_move_with_the_passes_that_the_key_names():
  """The decoder: two passes of eight; the encoder: one of five."""
  counts = {}
  for kind in ("real", "all"):
    made, state = method(
      ("introspection.statistics", kind), ("optimizer.lr", 1e-12)
    )
    new, _ = play(made, state, data(made))
    # Variances start at 1 and lose a tenth of what they had at each pass.
    d, e = new.stats["decoder"], new.stats["encoder"]
    zero = jax.tree.map(jnp.zeros_like, state.stats)
    other, _ = play(made, state.replace(stats=zero), data(made))
    left = [
      float((x - y).mean())
      for x, y in (
        (
          d["block_0"]["norm_1"]["batch"]["var"],
          other.stats["decoder"]["block_0"]["norm_1"]["batch"]["var"],
        ),
        (
          e["stem_norm"]["batch"]["var"],
          other.stats["encoder"]["stem_norm"]["batch"]["var"],
        ),
      )
    ]
    counts[kind] = [round(np.log(x) / np.log(0.9)) for x in left]
  assert counts == {"real": [2, 1], "all": [8, 5]}


def test_the_copy_of_the_decoder_is_renewed_when_it_is_due():
  made, state = method(("soft_introvae.bootstrap", 0.2), ("optimizer.lr", 1e-3))
  assert made.bootstrap == 2
  batch = {"image": data(made)["image"]}
  step = jax.jit(made.train_step)
  same = lambda a, b: all(
    np.array_equal(x, y)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )
  decoders = [state.params["decoder"]]
  copies = []
  for i in range(4):
    state, _ = step(state, batch, jax.random.key(i))
    decoders.append(state.params["decoder"])
    copies.append(state.frozen["target_decoder"])
  # Taken at the head of steps 0 and 2.
  for copy, of in zip(copies, (0, 0, 2, 2), strict=True):
    assert same(copy, decoders[of])
  assert not same(decoders[0], decoders[2])


def test_with_a_copy_the_last_term_moves_the_decoder():
  changes = ("soft_introvae.bootstrap", 0.2), ("soft_introvae.gamma", 0.0)
  (none, state), (some, _) = (
    method(*changes),
    method(changes[0], ("soft_introvae.gamma", 1.0)),
  )
  d = data(none)
  a, b = (play(m, state, d)[0].params["decoder"] for m in (none, some))
  apart = jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), a, b)
  assert max(jax.tree.leaves(apart)) > 1e-6


def test_a_negative_weight_is_named():
  with pytest.raises(
    ValueError, match="soft_introvae.gamma must be at least 0"
  ):
    method(("soft_introvae.gamma", -1.0))


def test_an_energy_that_can_be_negative_is_refused():
  with pytest.raises(ValueError, match="likelihood.name to l1, l2"):
    method(("likelihood.name", "gaussian"))


def test_a_small_step_of_the_encoder_lowers_its_loss_and_lifts_made_images():
  # Real images hardly pull, so that what pushes made images is the larger.
  made, state = method(
    ("optimizer.lr", 1e-3),
    ("soft_introvae.beta_kl", 0.01),
    ("soft_introvae.beta_reconstruction", 0.01),
  )
  d = data(made)
  moved = play(made, state, d)[0].params["encoder"]
  after = state.replace(params={**state.params, "encoder": moved})
  turn = jax.jit(lambda s: made.encoder_turn(s, s.params, d))
  (before, (was, _)), (loss, (now, _)) = turn(state), turn(after)
  assert float(loss) < float(before)
  kinds = ("kl_rec", "kl_fake")
  assert sum(float(now[k]) for k in kinds) > sum(float(was[k]) for k in kinds)


def test_within_two_hundred_steps_samples_have_the_larger_kl():
  """On the 8x8 digits."""
  made, state = method(
    ("optimizer.name", "adam"),
    ("optimizer.lr", 3e-3),
    ("soft_introvae.beta_fake", 64.0),
  )
  log = moves.on_digits(made, state, 200)
  mean = lambda key, part: np.mean([m[key] for m in part])
  end = log[-50:]
  assert 1.05 * mean("kl_real", end) < mean("kl_fake", end)
  assert 1.15 * mean("kl_real", end) < mean("kl_rec", end)
  assert mean("reconstruction", end) < 0.8 * mean("reconstruction", log[:50])
