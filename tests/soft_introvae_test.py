"""Laws of Soft-IntroVAE's two turns (introvae.md 5.3)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import shipped

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


def data(made, seed: int = 0):
  image = jax.random.uniform(jax.random.key(seed), (ROWS, SIDE, SIDE, 1))
  return made.draws({"image": image}, jax.random.key(seed + 1))


def networks(made, params, stats):
  """Both networks as NumPy functions; the encoder's output is cut in two."""

  def encode(x):
    out, _ = made.nets.encode(params, stats, jnp.asarray(x), train=True)
    return np.split(np.asarray(out), 2, -1)

  def decode(z):
    raw, _ = made.nets.decode(params, stats, jnp.asarray(z), train=True)
    return np.asarray(raw)

  return encode, decode


def code(posterior, noise):
  mean, lv = posterior
  return mean + np.exp(0.5 * lv) * np.asarray(noise)


def kl(posterior):
  mean, lv = posterior
  return 0.5 * (np.exp(lv) + mean**2 - 1 - lv).sum(1)


def sse(a, b):
  return ((a - b) ** 2).sum((1, 2, 3))


def test_both_losses_are_the_official_code_s():
  made, state = method()
  d = data(made)
  x, eps, s = np.asarray(d["image"]), d["noise"], 1.0 / SIDE**2
  encode, decode = networks(made, state.params, state.stats)
  real = encode(x)
  z = code(real, eps[:, 0])
  images = [decode(z), decode(d["prior"])]
  wanted = s * (sse(x, images[0]).mean() + kl(real).mean())
  for i, y in enumerate(images, 1):
    post = encode(y)
    error = sse(decode(code(post, eps[:, i])), y)
    wanted += 0.25 * np.exp(-2 * s * (error + 2.0 * kl(post))).mean()
  new, metrics = made.turns(state, d)
  np.testing.assert_allclose(metrics["loss"], wanted, rtol=1e-5)

  params = {**state.params, "encoder": new.params["encoder"]}
  encode, _ = networks(made, params, state.stats)
  wanted = sse(x, images[0]).mean()
  for i, y in enumerate(images, 3):
    post = encode(y)
    wanted += 0.5 * kl(post).mean()
    error = sse(decode(code(post, eps[:, i])), y).mean()
    wanted += 0.5 * 1e-8 * error
  np.testing.assert_allclose(metrics["loss_decoder"], s * wanted, rtol=1e-5)


def gradient(made, state, d):
  loss = lambda p: made.encoder_turn(state, {**state.params, "encoder": p}, d)[
    0
  ]
  return jax.grad(loss)(state.params["encoder"])


def test_the_target_of_a_reconstruction_carries_gradient_unless_detached():
  (made, state), (cut, _) = (
    method(),
    method(("soft_introvae.detach_target", True)),
  )
  d = data(made)
  one, other = gradient(made, state, d), gradient(cut, state, d)
  apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), one, other)
  assert max(jax.tree.leaves(apart)) > 1e-5


def test_samples_of_prior_noise_give_the_encoder_no_gradient_as_targets():
  """A sample does not come from the encoder: only x_r can carry any."""
  made, state = method(("soft_introvae.beta_fake", 0.0))
  cut, _ = method(
    ("soft_introvae.beta_fake", 0.0), ("soft_introvae.detach_target", True)
  )
  d = data(made)
  # Posterior draws that are the prior's: x_r no longer depends on the encoder.
  frozen = jax.tree.map(jnp.zeros_like, state.params["encoder"]["head"])
  params = {
    **state.params,
    "encoder": {**state.params["encoder"], "head": frozen},
  }
  state = state.replace(params=params)
  one, other = gradient(made, state, d), gradient(cut, state, d)
  a, b = one["stem"]["kernel"], other["stem"]["kernel"]
  np.testing.assert_allclose(a, b, atol=1e-7)


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
  a, b = (m.turns(state, d)[0].params["decoder"] for m in (none, some))
  apart = jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), a, b)
  assert max(jax.tree.leaves(apart)) > 1e-6


def test_a_negative_weight_is_named():
  with pytest.raises(
    ValueError, match="soft_introvae.gamma must be at least 0"
  ):
    method(("soft_introvae.gamma", -1.0))
