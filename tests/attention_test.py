"""Laws of DRAW's windows (draw.md 8)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.nets import attention


def zero(n, height=5, width=5, **changes):
  place = attention.window(jnp.zeros((1, 5)), height, width, n)
  return place._replace(
    **{k: jnp.full(1, v, jnp.float32) for k, v in changes.items()}
  )


@pytest.mark.parametrize("log_variance", [-6.9, 0.0, 6.9])
@pytest.mark.parametrize("centre", [-500.0, 3.0, 900.0])
def test_rows_sum_to_one_everywhere(log_variance, centre):
  place = zero(4, 28, 28, x=centre, log_variance=log_variance)
  for bank in attention.banks(place, 28, 28, 4):
    assert np.isfinite(bank).all() and (bank >= 0).all()
    np.testing.assert_allclose(bank.sum(-1), 1.0, rtol=1e-5)


def test_the_golden_bank():
  rows, columns = attention.banks(zero(3), 5, 5, 3)
  first = [0.57034966, 0.34593456, 0.07718843, 0.00633601, 0.00019133]
  middle = [0.05448868, 0.24420134, 0.40261995, 0.24420134, 0.05448868]
  wanted = np.array([first, middle, first[::-1]])
  np.testing.assert_allclose(rows[0], wanted, rtol=1e-5)
  np.testing.assert_allclose(columns, rows)


@pytest.mark.parametrize(
  "n,size,centres",
  [
    (5, 28, [1, 7.75, 14.5, 21.25, 28]),
    (2, 28, [1, 28]),
    (3, 5, [1, 3, 5]),
    (12, 54, np.linspace(1, 54, 12)),
  ],
)
def test_zero_parameters_cover_the_image(n, size, centres):
  place = attention.window(jnp.zeros((1, 5)), size, size, n)
  offset = np.arange(1, n + 1) - n / 2 - 0.5
  np.testing.assert_allclose(
    place.x[0] + offset * place.stride[0], centres, rtol=1e-6
  )


W = jnp.arange(9.0).reshape(1, 3, 3, 1)


def test_writing_keeps_the_sum():
  image = attention.write(W, zero(3), 5, 5)
  np.testing.assert_allclose(image.sum(), 36.0, rtol=1e-5)
  np.testing.assert_allclose(image[0, 0, 0, 0], 0.13718488, rtol=1e-5)
  np.testing.assert_allclose(image[0, 4, 4, 0], 2.98811193, rtol=1e-5)
  loud = attention.write(W, zero(3, log_intensity=np.log(4.0), x=-3.0), 5, 5)
  np.testing.assert_allclose(loud.sum(), 9.0, rtol=1e-5)


def test_reading_and_writing_are_adjoint():
  x = (jnp.arange(25.0) / 24.0).reshape(1, 5, 5, 1)
  seen = (attention.read(x, zero(3), 3) * W).sum()
  np.testing.assert_allclose(seen, 23.9196609, rtol=1e-5)
  place = zero(3, log_intensity=np.log(3.0), x=2.2, stride=0.7)
  left = (attention.read(x, place, 3) * W).sum()
  right = (x * attention.write(W, place, 5, 5)).sum()
  np.testing.assert_allclose(left, 9.0 * right, rtol=1e-5)


def test_a_constant_image_is_read_as_it_is():
  image = jnp.full((1, 7, 9, 3), 0.4)
  place = zero(4, 7, 9, x=30.0, log_intensity=np.log(2.5))
  np.testing.assert_allclose(attention.read(image, place, 4), 1.0, rtol=1e-5)


def test_intensity_multiplies_what_is_read_and_divides_what_is_written():
  x = jax.random.uniform(jax.random.key(0), (1, 5, 5, 1))
  place = zero(3, x=2.4, stride=0.8, log_intensity=0.3)
  loud = place._replace(log_intensity=place.log_intensity + np.log(4.0))
  one, other = (attention.read(x, p, 3) for p in (place, loud))
  np.testing.assert_allclose(other, 4.0 * one, rtol=1e-5)
  one, other = (attention.write(W, p, 5, 5) for p in (place, loud))
  np.testing.assert_allclose(other, one / 4.0, rtol=1e-5, atol=1e-7)


def test_a_full_sharp_window_is_the_image():
  x = jax.random.uniform(jax.random.key(0), (1, 6, 6, 2))
  place = zero(6, 6, 6, log_variance=np.log(1e-3))
  np.testing.assert_allclose(attention.read(x, place, 6), x, atol=1e-5)
  np.testing.assert_allclose(attention.write(x, place, 6, 6), x, atol=1e-5)


def test_image_and_window_may_move_together():
  x = (
    jnp.zeros((1, 40, 40, 1))
    .at[:, 15:22, 14:20]
    .set(jax.random.uniform(jax.random.key(0), (1, 7, 6, 1)))
  )
  place = zero(3, 40, 40, x=18.0, y=19.0, stride=1.3)
  moved = place._replace(x=place.x + 3, y=place.y - 2)
  shifted = jnp.roll(x, (-2, 3), (1, 2))
  np.testing.assert_allclose(
    attention.read(x, place, 3), attention.read(shifted, moved, 3), atol=1e-6
  )
  turned = place._replace(x=place.y, y=place.x)
  np.testing.assert_allclose(
    attention.read(x.swapaxes(1, 2), turned, 3),
    attention.read(x, place, 3).swapaxes(1, 2),
    atol=1e-6,
  )


def test_wild_parameters_stay_finite():
  raw = jnp.array([[1e4, -1e4, 1e3, -1e3, 1e3]])
  place = attention.window(raw, 28, 28, 5)
  loss = lambda r: attention.read(
    jnp.ones((1, 28, 28, 1)), attention.window(r, 28, 28, 5), 5
  ).sum()
  assert all(np.isfinite(v).all() for v in place)
  assert np.isfinite(jax.grad(loss)(raw)).all()


def test_one_filter_is_allowed():
  place = attention.window(jnp.zeros((2, 5)), 8, 8, 1)
  x = jnp.ones((2, 8, 8, 1))
  assert attention.read(x, place, 1).shape == (2, 1, 1, 1)
