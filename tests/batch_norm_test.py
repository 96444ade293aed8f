"""Batch normalisation is flax's, layer for layer (flax as the reference)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from genlat.nets.batch_norm import BatchNorm
from tests import shipped

NUMBERS = {"momentum": 0.9, "epsilon": 1e-5}


def made(kind, x, *, train, dtype):
  """Value, new averages, and gradients of weights and input."""
  net = kind(use_running_average=not train, dtype=dtype, **NUMBERS)
  variables = net.init(jax.random.key(0), x)
  key = jax.random.key(1)
  wide = jnp.promote_types(dtype, jnp.float32)
  variables = jax.tree.map(
    lambda a: a + jax.random.uniform(key, a.shape, wide), variables
  )
  weights = jax.random.normal(key, x.shape)

  def value(params, x):
    out, stats = net.apply(
      {**variables, "params": params}, x, mutable=["batch_stats"]
    )
    return (weights * jnp.sin(out)).sum(), (out, stats)

  slopes, aux = jax.grad(value, (0, 1), has_aux=True)(variables["params"], x)
  return variables, aux, slopes


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
  "dtype,tolerance",
  [(jnp.float32, 2e-5), (jnp.float64, 1e-12), (jnp.bfloat16, 2e-2)],
)
@pytest.mark.parametrize("shape", [(5, 4, 3, 6), (7, 6)])
def test_values_averages_and_gradients_are_those_of_flax(
  shape, dtype, tolerance, train
):
  with jax.enable_x64(dtype == jnp.float64):
    x = 3 + 2 * jax.random.normal(jax.random.key(2), shape, dtype)
    ours = made(BatchNorm, x, train=train, dtype=dtype)
    theirs = made(nn.BatchNorm, x, train=train, dtype=dtype)
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)

  def close(a, b):
    assert a.dtype == b.dtype
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

  jax.tree.map(close, ours, theirs)


def test_a_feature_without_variance_stays_finite():
  """Of one value, E x^2 - (E x)^2 can round below zero."""
  x = jnp.full((7, 1), 4097.3)
  net = BatchNorm(use_running_average=False, dtype=jnp.float32, **NUMBERS)
  out, made = net.init_with_output(jax.random.key(0), x)
  assert np.isfinite(out).all()
  # Nothing is counted where the weights are made.
  np.testing.assert_array_equal(made["batch_stats"]["var"], [1.0])


@pytest.mark.parametrize("name", ["introvae_mnist", "soft_introvae_mnist"])
def test_a_game_s_second_turn_repeats_no_pass(name):
  """XLA merges the passes that both turns make of the same images."""
  config = shipped.config(name, "smoke")
  config.model.channels, config.data.image_size = (4,), 8
  method = shipped.build(config)
  state = jax.eval_shape(lambda: method.init(jax.random.key(0), {}))
  data = jax.eval_shape(
    lambda: method.draws(
      {"image": jnp.zeros((4, *method.nets.image_shape))}, jax.random.key(0)
    )
  )
  lowered = jax.jit(method.turns).lower(state, data)
  written = lowered.as_text().count("stablehlo.convolution")
  compiled = lowered.compile().as_text().count(" convolution(")
  # The encoder has 3 convolutions and meets the real images again; the decoder
  # has 5, and meets the prior's codes and those of real images.
  assert written - compiled == 3 + 2 * 5
