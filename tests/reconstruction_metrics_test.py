"""Reconstruction errors by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from genlat.metrics import reconstruction


def pair():
  images = jnp.zeros((2, 1, 2, 2))
  return images, images.at[0].set(0.1).at[1, 0, 0, 0].set(1.0)


def test_mean_squared_error_is_a_mean_of_each_image():
  got = reconstruction.mean_squared_error(*pair())
  np.testing.assert_allclose(got, [0.01, 0.25], rtol=1e-6)


def test_peak_signal_to_noise_in_decibel():
  got = reconstruction.peak_signal_to_noise(*pair())
  np.testing.assert_allclose(got, [20.0, 6.0206], rtol=1e-5)
  images, _ = pair()
  assert np.isposinf(reconstruction.peak_signal_to_noise(images, images)).all()


def test_the_ratio_of_an_exact_copy_is_that_of_one_level_in_one_pixel():
  got = reconstruction.finite_ratio(np.array([[0.01, 0.0]]), 12)
  wanted = 10 * np.log10(12 * 255.0**2)
  np.testing.assert_allclose(got, [[20.0, wanted]], rtol=1e-6)


def test_mismatches_raise():
  images, other = pair()
  with pytest.raises(AssertionError, match="shape"):
    reconstruction.mean_squared_error(images, other[:1])
  with pytest.raises(AssertionError, match="rank"):
    reconstruction.mean_squared_error(images[0], other[0])
