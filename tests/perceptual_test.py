"""The perceptual distance: sums, no weights, one number per image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.losses.perceptual import perceptual_l1


def taps(seed):
  rng = np.random.default_rng(seed)
  shapes = ((3, 4, 4, 2), (3, 2, 2, 5))
  return tuple(rng.normal(size=s).astype(np.float32) for s in shapes)


def test_hand_value():
  x = (jnp.zeros((2, 2, 1, 1)), jnp.array([[1.0], [5.0]]))
  y = (jnp.array([[[[1.0]], [[-2.0]]], [[[0.0]], [[0.5]]]]), jnp.ones((2, 1)))
  np.testing.assert_array_equal(perceptual_l1(x, y), [3.0, 4.5])


def test_it_is_a_distance_that_adds_taps():
  x, y = taps(0), taps(1)
  both = perceptual_l1(x, y)
  np.testing.assert_allclose(both, perceptual_l1(y, x))
  np.testing.assert_array_equal(perceptual_l1(x, x), np.zeros(3))
  parts = [perceptual_l1(x[i : i + 1], y[i : i + 1]) for i in (0, 1)]
  np.testing.assert_allclose(both, parts[0] + parts[1], rtol=1e-6)


def test_examples_do_not_mix():
  x, y = taps(0), taps(1)
  rows = jax.vmap(lambda x, y: perceptual_l1(*jax.tree.map(one, (x, y))))(x, y)
  np.testing.assert_allclose(rows[:, 0], perceptual_l1(x, y), rtol=1e-6)


def one(x):
  return x[None]


def test_half_precision_features_are_summed_in_float32():
  x = (jnp.zeros((1, 4096), jnp.bfloat16),)
  y = (jnp.ones((1, 4096), jnp.bfloat16) * 1.0078125,)
  total = perceptual_l1(x, y)
  assert total.dtype == jnp.float32
  np.testing.assert_allclose(total, [4128.0])


def test_mismatches_raise():
  x, y = taps(0), taps(1)
  with pytest.raises(ValueError, match="got 2 and 1"):
    perceptual_l1(x, y[:1])
  with pytest.raises(ValueError, match="got 0 and 0"):
    perceptual_l1((), ())
  with pytest.raises(AssertionError, match="shape"):
    perceptual_l1(x, y[::-1])
