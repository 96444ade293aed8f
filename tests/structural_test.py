"""Laws of the multi-scale structural similarity (baselines_metrics.md C4)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.metrics import structural


def ramp(side, slope):
  """A horizontal ramp, `[1, side, side, 1]`."""
  row = slope * np.arange(side, dtype=np.float32)
  return np.tile(row, (side, 1))[None, :, :, None]


@pytest.mark.parametrize(
  "side,slope,wanted", [(64, 4, 0.0580620), (32, 8, 0.0264976)]
)
def test_crossed_ramps_have_their_golden_value(side, slope, wanted):
  x = ramp(side, slope)
  value = structural.ms_ssim(jnp.asarray(x), jnp.asarray(x.swapaxes(1, 2)))
  np.testing.assert_allclose(value, [wanted], rtol=1e-5)


def test_constants_differ_by_their_luminance_at_the_last_scale():
  x, y = (jnp.full((1, 64, 64, 1), v) for v in (100.0, 150.0))
  np.testing.assert_allclose(structural.ms_ssim(x, y), [0.9893892], rtol=1e-5)


def test_it_is_one_for_equals_and_zero_for_negatives_and_symmetric():
  x, y = 255.0 * jax.random.uniform(jax.random.key(0), (2, 3, 32, 32, 3))
  np.testing.assert_allclose(structural.ms_ssim(x, x), [1.0] * 3, rtol=1e-5)
  np.testing.assert_allclose(structural.ms_ssim(x, 255.0 - x), [0.0] * 3)
  np.testing.assert_allclose(
    structural.ms_ssim(x, y), structural.ms_ssim(y, x), rtol=1e-4
  )


def test_each_pair_stands_alone():
  x, y = 255.0 * jax.random.uniform(jax.random.key(0), (2, 4, 16, 16, 1))
  whole = structural.ms_ssim(x, y)
  alone = structural.ms_ssim(x[2:3], y[2:3])
  np.testing.assert_allclose(whole[2:3], alone, rtol=1e-4)


def test_pairs_are_consecutive_and_counted():
  x = np.random.default_rng(0).integers(
    256, size=(9, 32, 32, 1), dtype=np.uint8
  )
  even, odd = (jnp.asarray(x[i:8:2], jnp.float32) for i in (0, 1))
  wanted = float(structural.ms_ssim(even, odd).mean())
  parts = [x[:4], x[4:]]
  mean, count = structural.mean_of_pairs(parts, 100)
  assert count == 4
  np.testing.assert_allclose(mean, wanted, rtol=1e-5)
  assert structural.mean_of_pairs(parts, 3)[1] == 3
  with pytest.raises(ValueError, match="at least one pair"):
    structural.mean_of_pairs([x[:1]], 3)


def test_images_of_28_pixels_are_measured_at_32():
  assert structural.resized((28, 28)) == (32, 32)
  assert structural.resized((28, 28), side=128) == (128, 128)
  x = np.full((2, 28, 28, 1), 7, np.uint8)
  np.testing.assert_allclose(
    structural.mean_of_pairs([x], 1)[0], 1.0, rtol=1e-5
  )
  with pytest.raises(ValueError, match="multiples of 16; got 28 x 28"):
    structural.ms_ssim(jnp.asarray(x), jnp.asarray(x))


def test_alike_images_score_above_diverse_ones():
  rng = np.random.default_rng(0)
  base = rng.integers(256, size=(1, 32, 32, 3))
  noise = rng.integers(-20, 21, size=(8, 32, 32, 3))
  alike = np.clip(base + noise, 0, 255).astype(np.uint8)
  diverse = rng.integers(256, size=(8, 32, 32, 3), dtype=np.uint8)
  values = [structural.mean_of_pairs([x], 4)[0] for x in (alike, diverse)]
  assert values[0] > values[1] + 0.3
