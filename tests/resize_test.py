"""The two resizing rules, by hand values and by their definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from genlat.metrics import resize


def image(height, width, channels=3, batch=2):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (batch, height, width, channels), np.uint8)


def test_tf1_hand_value():
  """[0, 1] to 4 pixels: no half-pixel centres, and the last repeats."""
  got = resize.tf1_matrix(2, 4) @ np.array([0.0, 1.0])
  np.testing.assert_array_equal(got, [0, 0.5, 1, 1])


def test_tf1_is_the_interpolation_of_each_pixel():
  images, size = image(5, 8), 13
  got = np.asarray(resize.tf1(jnp.asarray(images), size))
  want = np.zeros((2, size, size, 3))
  for i in range(size):
    for j in range(size):
      y, x = i * 5 / size, j * 8 / size
      y0, x0 = int(y), int(x)
      y1, x1 = min(y0 + 1, 4), min(x0 + 1, 7)
      top, bottom = (
        images[:, r, x0]
        + (images[:, r, x1].astype(float) - images[:, r, x0]) * (x - x0)
        for r in (y0, y1)
      )
      want[:, i, j] = top + (bottom - top) * (y - y0)
  np.testing.assert_allclose(got, want, atol=1e-3)


@pytest.mark.parametrize("rule", resize.RESIZES)
def test_a_constant_stays_and_equal_sizes_are_untouched(rule):
  fn = getattr(resize, rule)
  flat = np.full((1, 7, 9, 1), 77, np.uint8)
  np.testing.assert_allclose(fn(flat, 20), np.full((1, 20, 20, 1), 77.0))
  images = image(6, 6)
  np.testing.assert_allclose(fn(images, 6), images, atol=1e-4)


def bicubic(distance):
  """Keys' kernel with a = -1/2."""
  x = np.abs(distance)
  near = 1.5 * x**3 - 2.5 * x**2 + 1
  far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
  return np.where(x < 1, near, np.where(x < 2, far, 0))


def clean_matrix(source, target):
  """Anti-aliased: the kernel is as wide as the larger of the two pixels."""
  scale = source / target
  centre = (np.arange(target)[:, None] + 0.5) * scale
  position = np.arange(source)[None] + 0.5
  weight = bicubic((position - centre) / max(scale, 1))
  return weight / weight.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [3, 17])
def test_clean_is_the_antialiased_bicubic_filter(size):
  images = image(8, 8)
  rows = clean_matrix(8, size)
  want = np.einsum("ih,jw,bhwc->bijc", rows, rows, images.astype(float))
  np.testing.assert_allclose(
    resize.clean(images, size), want.clip(0, 255), atol=1e-2
  )


def test_clean_is_cut_but_not_rounded():
  images = np.zeros((1, 8, 8, 1), np.uint8)
  images[:, :, 4:] = 255
  got = resize.clean(images, 29)
  assert got.min() == 0 and got.max() == 255
  assert np.abs(got - got.round()).max() > 0.1
