"""Laws of method draw: the bound, its weights, its training (draw.md 8)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import methods, sharding
from genlat.losses import elbo
from genlat.metrics.likelihood import importance_bound
from tests import shipped


def sigmoid(a: np.ndarray) -> np.ndarray:
  return 1.0 / (1.0 + np.exp(-a))


@functools.cache
def method(*changes: tuple[str, Any]):
  config = shipped.config("draw_fast_mnist", "smoke")
  for key, value in changes:
    config.update_from_flattened_dict({key: value})
  made = shipped.build(config)
  state = made.init(jax.random.key(3), {})
  batch = shipped.batch(config, 4)
  return made, state, batch | {"image": jnp.round(batch["image"])}


COUNTS = {
  "draw_mnist": ("", (28, 28, 1), 960_763),
  "draw_noattention_mnist": ("", (28, 28, 1), 2_750_696),
  "draw_svhn": ("", (54, 54, 3), 11_295_790),
  "draw_cifar10": ("", (32, 32, 3), 2_681_557),
  "draw_mnist with cells": ("", (28, 28, 1), 960_763 + 2 * 256),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_of_table_3(name):
  words, shape, count = COUNTS[name]
  config = shipped.config(name.split()[0], words)
  config.draw.learned_cell = "cells" in name
  assert shipped.image_shape(config) == shape
  made = methods.build(config, shape)
  state = jax.eval_shape(made.init, jax.random.key(0), {})
  assert sum(x.size for x in jax.tree.leaves(state.params)) == count


def test_the_kl_of_a_step_has_the_golden_values():
  d = 100
  for mean, sigma, wanted in (
    (0.0, 1.0, 0.0),
    (1.0, 1.0, 50.0),
    (0.0, 2.0, 80.68528194),
    (0.0, 0.5, 31.81471806),
  ):
    got = elbo.kl_of_steps(
      jnp.full((2, 3, d), mean), jnp.full((2, 3, d), np.log(sigma))
    )
    assert got.shape == (2, 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_without_a_write_the_canvas_stays_and_the_posterior_wants_the_prior():
  made, state, batch = method()
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype),
    state.params,
  )
  net = params["draw"]
  for name in ("patch_kernel", "patch_bias", "canvas_start"):
    net[name] = jnp.zeros_like(net[name])
  noise = made._noise(jax.random.key(0), 4)
  data = {"image": batch["image"], "noise": noise}
  loss = lambda p: made.loss(state, p, data)[0]
  kl = lambda p: made.terms(p, {}, data["image"], noise)[2].sum(1).mean()
  value, slope = jax.jit(jax.value_and_grad(loss))(params)
  size = np.prod(batch["image"].shape[1:])
  np.testing.assert_allclose(value - kl(params), size * np.log(2), rtol=1e-5)
  alone = jax.jit(jax.grad(kl))(params)
  for name in ("posterior_kernel", "posterior_bias", "encoder_kernel"):
    np.testing.assert_allclose(
      slope["draw"][name], alone["draw"][name], rtol=1e-4, atol=1e-6
    )


def test_the_start_s_bound_is_ln_2_a_pixel():
  made, state, batch = method()
  got = made.eval_step(state, batch, jax.random.key(0))
  size = np.prod(batch["image"].shape[1:])
  np.testing.assert_allclose(got["loss"], size * np.log(2), rtol=0.01)
  steps = [got[f"kl_step/{t:02d}"] for t in (1, 2, 3)]
  np.testing.assert_allclose(sum(steps), got["kl"], rtol=1e-5)
  np.testing.assert_allclose(
    got["negative_elbo"], got["reconstruction"] + got["kl"], rtol=1e-6
  )


def test_weights_of_steps_enter_the_loss_alone():
  made, state, batch = method(
    ("draw.kl_weights", (1.0, 0.0, 2.0)), ("draw.kl_weight", 0.5)
  )
  assert made.weights == (0.5, 0.0, 1.0)
  params = jax.tree.map(lambda a: a + 0.1, state.params)
  got = made.eval_step(state.replace(params=params), batch, jax.random.key(0))
  kl = [np.asarray(got[f"kl_step/{t:02d}"]) for t in (1, 2, 3)]
  weighted = 0.5 * kl[0] + kl[2]
  np.testing.assert_allclose(
    got["loss"], got["reconstruction"] + weighted, rtol=1e-5
  )
  np.testing.assert_allclose(got["kl"], sum(kl), rtol=1e-5)
  assert min(map(np.min, kl)) > 0


def test_one_step_without_attention_is_a_variational_autoencoder():
  made, state, batch = method(
    ("draw.steps", 1), ("draw.read", 0), ("draw.write", 0)
  )
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype),
    state.params,
  )
  p = {k: np.asarray(v, np.float64) for k, v in params["draw"].items()}
  noise = made._noise(jax.random.key(4), 4)
  x = np.asarray(batch["image"], np.float64)
  size = x[0].size
  # Encoder: one gated layer of image, error image and biases.
  error = x - sigmoid(p["canvas_start"])
  seen = np.concatenate([x, error], -1).reshape(4, -1)
  told = np.broadcast_to(p["decoder_start"], (4, len(p["decoder_start"])))
  own = np.broadcast_to(p["encoder_start"], told.shape)
  gates = (
    np.concatenate([seen, told, own], 1) @ p["encoder_kernel"]
    + p["encoder_bias"]
  )
  i, _, g, o = np.split(gates, 4, 1)
  hidden = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
  out = hidden @ p["posterior_kernel"] + p["posterior_bias"]
  mean, log_sigma = np.split(out, 2, 1)
  z = mean + np.exp(log_sigma) * np.asarray(noise[:, 0])
  # Decoder: one gated layer and a linear one.
  gates = np.concatenate([z, told], 1) @ p["decoder_kernel"] + p["decoder_bias"]
  i, _, g, o = np.split(gates, 4, 1)
  hidden = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
  logits = hidden @ p["patch_kernel"] + p["patch_bias"]
  logits += p["canvas_start"].reshape(-1)
  flat = x.reshape(4, size)
  rec = (np.log1p(np.exp(logits)) - flat * logits).sum(1)
  kl = 0.5 * (mean**2 + np.exp(2 * log_sigma) - 2 * log_sigma - 1).sum(1)
  data = {"image": batch["image"], "noise": noise}
  loss, (metrics, _) = made.loss(state, params, data)
  np.testing.assert_allclose(loss, (rec + kl).mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics["kl"], kl.mean(), rtol=1e-4)


def test_log_weights_are_the_densities_ratio_and_bound_the_bound():
  made, state, batch = method()
  params = jax.tree.map(lambda a: a + 0.05, state.params)
  state = state.replace(params=params)
  key = jax.random.key(7)
  got = made.log_weights(state, batch, key)
  noise = np.asarray(made._noise(key, 4), np.float64)
  steps, rec, _ = made.terms(params, {}, batch["image"], noise)
  z, log_sigma = (
    np.asarray(a, np.float64) for a in (steps.codes, steps.log_sigma)
  )
  log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum((1, 2))
  log_q = (-0.5 * noise**2 - log_sigma - 0.5 * np.log(2 * np.pi)).sum((1, 2))
  np.testing.assert_allclose(got, log_p - log_q - rec, rtol=1e-4)


def test_the_importance_bound_reaches_a_likelihood_that_is_known():
  """Without strokes p(x) is 2^-D whatever the posterior has learned."""
  made, state, batch = method()
  params = jax.tree.map(lambda a: a + 0.02, state.params)
  for name in ("patch_kernel", "patch_bias", "canvas_start"):
    params["draw"][name] = jnp.zeros_like(params["draw"][name])
  state = state.replace(params=params)
  draw = sharding.compile(made.log_weights)
  many = np.stack([draw(state, batch, jax.random.key(i)) for i in range(200)])
  known = -np.prod(batch["image"].shape[1:]) * np.log(2)
  assert (many.mean(0) < known - 1e-3).all()
  np.testing.assert_allclose(importance_bound(many), known, atol=0.1)


def test_every_step_and_row_has_noise_of_its_own():
  """One draw for all steps gives a bound far below the true one."""
  made, _, _ = method()
  noise = np.asarray(made._noise(jax.random.key(0), 4))
  assert len(np.unique(noise)) == noise.size == 4 * 3 * made.net.latent


def test_a_short_training_lowers_the_bound():
  made, state, batch = method(("optimizer.lr", 1e-2))
  image = jnp.zeros_like(batch["image"]).at[::2, 2:5].set(1.0)
  batch = batch | {"image": image.at[1::2, :, 3:6].set(1.0)}
  step = sharding.compile(made.train_step)
  first = last = 0.0
  for i in range(40):
    state, metrics = step(state, batch, jax.random.key(i))
    last = float(metrics["loss"])
    first = first or last
  assert last < 0.5 * first


def test_a_long_drawing_has_a_finite_gradient():
  made, state, batch = method(("draw.steps", 64))
  step = sharding.compile(made.train_step)
  state, metrics = step(state, batch, jax.random.key(0))
  assert all(np.isfinite(v) for v in metrics.values())
  assert all(np.isfinite(w).all() for w in jax.tree.leaves(state.params))
  assert "kl_step/64" in metrics and metrics["grad_norm/draw"] > 0


@pytest.mark.parametrize(
  ("changes", "line"),
  [
    ({"draw.steps": 0}, r"config\.draw\.steps must be at least 1"),
    ({"draw.kl_weights": (1.0,)}, "must be 3 numbers"),
    ({"draw.kl_weight": -1.0}, "0 or more"),
    ({"likelihood.activation": "tanh"}, "to sigmoid"),
    ({"likelihood.name": "perceptual"}, "takes config.likelihood.name"),
    ({"model.dtype": "float16"}, r"config\.model\.dtype"),
  ],
)
def test_values_that_make_no_drawing_are_named(changes, line):
  config = shipped.config("draw_fast_mnist", "smoke")
  config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=line):
    shipped.build(config)
