"""The order of examples: bijections, equal on host and device, independent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.data import order


def _epochs(n: int, pairs: list[tuple[int, int]]) -> np.ndarray:
  """`[len(pairs), n]` permutations, standardised to mean 0, variance 1."""
  positions = np.arange(n)
  orders = [
    order.permute(positions, seed=seed, epoch=epoch, n=n)
    for seed, epoch in pairs
  ]
  return (np.stack(orders) - (n - 1) / 2) / np.sqrt((n**2 - 1) / 12)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1797, 60000])
def test_permutation_is_a_bijection_and_the_same_on_the_device(n):
  positions = np.arange(n)
  on_host = order.permute(positions, seed=7, epoch=3, n=n)
  compiled = jax.jit(
    lambda p, epoch: order.permute(p, seed=7, epoch=epoch, n=n, xp=jnp)
  )
  on_device = compiled(positions.astype(np.int32), jnp.int32(3))
  np.testing.assert_array_equal(np.sort(on_host), positions)
  np.testing.assert_array_equal(on_host, on_device)
  assert on_host.dtype == np.int32
  assert on_device.dtype == jnp.int32


@pytest.mark.parametrize("n", [2, 3, 5, 7, 11, 13, 97, 1797, 59999, 202599])
def test_domain_is_barely_larger_than_the_data(n):
  # Else a device would walk the cycles of every batch many times.
  a, b = order._digits(n)
  assert n <= a * b <= n + 0.1 * n + 1
  assert a <= 2 * b and b <= 4 * a


def test_values_never_change():
  # Of this code when it was written: a change of the order would change what
  # every resumed run trains on.
  got = order.permute(np.arange(5), seed=1, epoch=2, n=1797)
  np.testing.assert_array_equal(got, [1092, 1789, 1417, 1214, 1775])


@pytest.mark.parametrize("step", [0, 1, 13, 14, 15, 10**6, 2**31 - 1])
def test_rows_on_the_device_equal_those_on_the_host(step):
  given = {"seed": 2**32 - 1, "n": 1797, "batch_size": 128}
  on_device = jax.jit(lambda step: order.rows(step, **given, xp=jnp))(step)
  np.testing.assert_array_equal(order.rows(step, **given), on_device)


def test_rows_of_an_epoch_are_the_head_of_its_permutation():
  n, batch_size = 103, 10
  for epoch in range(3):
    steps = range(epoch * 10, (epoch + 1) * 10)
    seen = [order.rows(s, seed=5, n=n, batch_size=batch_size) for s in steps]
    whole = order.permute(np.arange(n), seed=5, epoch=epoch, n=n)
    np.testing.assert_array_equal(np.concatenate(seen), whole[:100])


def test_seed_and_epoch_are_not_just_added():
  pairs = [(seed, epoch) for seed in range(30) for epoch in range(30)]
  orders = {
    order.permute(np.arange(1797), seed=s, epoch=e, n=1797).tobytes()
    for s, e in pairs
  }
  assert len(orders) == len(pairs)


def test_three_examples_take_all_six_orders_equally_often():
  counts: dict[tuple[int, ...], int] = {}
  for seed in range(30):
    for epoch in range(40):
      got = tuple(order.permute(np.arange(3), seed=seed, epoch=epoch, n=3))
      counts[got] = counts.get(got, 0) + 1
  assert len(counts) == 6
  assert min(counts.values()) > 150  # 200 expected, standard deviation 13.


@pytest.mark.parametrize("by", ["seed", "epoch"])
def test_orders_are_uncorrelated(by):
  # Each correlation has mean 0 and standard deviation 1/sqrt(n).
  n, count = 1797, 400
  pairs = [(i, 1) if by == "seed" else (1, i) for i in range(count)]
  x = _epochs(n, pairs)
  position = _epochs_identity(n)
  correlations = {
    "of one with the next": (x[1:] * x[:-1]).mean(1),
    "of neighbours": (x[:, 1:] * x[:, :-1]).mean(1),
    "with the position": (x * position).mean(1),
  }
  for name, values in correlations.items():
    scaled = values * np.sqrt(n)
    assert 0.85 < scaled.std() < 1.15, name
    assert abs(scaled.mean()) < 0.25, name


def _epochs_identity(n: int) -> np.ndarray:
  return (np.arange(n) - (n - 1) / 2) / np.sqrt((n**2 - 1) / 12)


def test_every_example_is_as_often_in_the_first_batch():
  n, batch_size, epochs = 1797, 128, 1000
  first = [
    order.permute(np.arange(batch_size), seed=3, epoch=epoch, n=n)
    for epoch in range(epochs)
  ]
  share = batch_size / n
  counts = np.bincount(np.concatenate(first), minlength=n)
  chi2 = (counts - epochs * share) ** 2 / (epochs * share * (1 - share))
  assert abs(chi2.mean() - 1) < 6 * np.sqrt(2 / n)


def test_batch_larger_than_the_data_names_the_key():
  with pytest.raises(ValueError, match=r"config\.batch_size .* 10 .* got 11"):
    order.rows(0, seed=0, n=10, batch_size=11)
  with pytest.raises(ValueError, match=r"config\.batch_size"):
    order.steps_per_epoch(10, 0)
  assert order.steps_per_epoch(10, 3) == 3


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_outside_of_32_bits_raises(seed):
  with pytest.raises(ValueError, match=r"config\.seed"):
    order.permute(np.arange(3), seed=seed, epoch=0, n=3)
