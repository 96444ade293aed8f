"""The Fréchet distance: closed forms, invariances, and merging."""

import numpy as np
import pytest

from genlat.metrics import frechet
from genlat.metrics.frechet import Statistics, frechet_distance

EYE = np.eye(512)


@pytest.mark.parametrize(
  "gaussians, want",
  [
    (([0.0], [[1.0]], [3.0], [[4.0]]), 10),
    ((np.zeros(3), np.diag([1, 4, 9]), [1, 2, 3], np.diag([4, 4, 1])), 19),
    (([0, 0], [[2, 1], [1, 2]], [0, 0], np.diag([1, 4])), 0.7712204476543),
    ((np.zeros(512), EYE, np.ones(512), EYE), 512),
  ],
)
def test_closed_forms(gaussians, want):
  assert frechet_distance(*gaussians) == pytest.approx(want, abs=1e-9)


def clouds(n=200, d=6):
  rng = np.random.default_rng(0)
  mix = rng.normal(size=(d, d))
  return rng.normal(size=(n, d)) @ mix, rng.normal(size=(n + 9, d)) + 0.3


def test_singular_covariances_by_values_and_by_features():
  rng = np.random.default_rng(0)
  a = rng.normal(size=(20, 64))
  b = rng.normal(size=(30, 64)) + 0.1
  by_values = frechet.from_statistics(Statistics.of(a), Statistics.of(b))
  by_features = frechet.from_features(a, b)
  assert by_features == pytest.approx(71.414421, abs=2e-6)
  assert by_values == pytest.approx(by_features, abs=2e-5)


def test_features_of_both_sizes_agree_with_statistics():
  a, b = clouds()
  want = frechet.from_statistics(Statistics.of(a), Statistics.of(b))
  assert frechet.from_features(a, b) == pytest.approx(want, rel=1e-12)
  # Fewer examples than features: the other formula.
  a, b = clouds(n=25, d=64)
  want = frechet.from_statistics(Statistics.of(a), Statistics.of(b))
  assert frechet.from_features(a, b) == pytest.approx(want, rel=1e-6)


def test_the_root_agrees_with_the_general_matrix_root():
  from scipy.linalg import sqrtm

  a, b = (Statistics.of(x) for x in clouds(n=300, d=64))
  root = np.trace(sqrtm(a.covariance @ b.covariance).real)
  traces = np.trace(a.covariance) + np.trace(b.covariance)
  want = np.sum((a.mean - b.mean) ** 2) + traces - 2 * root
  assert frechet.from_statistics(a, b) == pytest.approx(want, rel=1e-6)


def test_invariances():
  a, b = clouds()
  score = frechet.from_features(a, b)
  assert score > 0.1
  assert frechet.from_features(a, a) == pytest.approx(0, abs=1e-9)
  assert frechet.from_features(b, a) == pytest.approx(score, rel=1e-9)
  turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
  turned = frechet.from_features(a @ turn + 5, b @ turn + 5)
  assert turned == pytest.approx(score, rel=1e-9)
  scaled = frechet.from_features(3 * a, 3 * b)
  assert scaled == pytest.approx(9 * score, rel=1e-9)


def test_equal_singular_sets_are_not_below_zero():
  a = np.ones((4, 8)) * np.arange(4)[:, None]
  assert frechet.from_statistics(Statistics.of(a), Statistics.of(a)) >= 0


def test_statistics_are_those_of_numpy():
  a, _ = clouds()
  total = Statistics.of(a)
  np.testing.assert_allclose(total.mean, a.mean(0), rtol=1e-12)
  np.testing.assert_allclose(total.covariance, np.cov(a.T), rtol=1e-10)


def test_streamed_shuffled_and_merged_statistics_are_the_batch_s():
  # Far from the origin, where uncentred sums would lose the covariance.
  a = clouds()[0] + 1e4
  whole = Statistics.of(a)
  order = np.random.default_rng(2).permutation(len(a))
  cuts = np.split(a[order], [1, 8, 8, 100])
  streamed = frechet.accumulate(iter(cuts), a.shape[1])
  halves = Statistics.of(a[:50]).merge(Statistics.of(a[50:]))
  for other in (streamed, halves):
    assert other.count == len(a)
    np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-10)
    np.testing.assert_allclose(
      other.covariance, whole.covariance, rtol=1e-10, atol=1e-10
    )


def test_the_bias_of_finite_samples_is_the_predicted_one():
  d, n = 32, 2000
  rng = np.random.default_rng(0)
  scores = [
    frechet.from_features(rng.normal(size=(n, d)), rng.normal(size=(n, d)))
    for _ in range(30)
  ]
  predicted = 2 * d / n + (d**2 + d) / (2 * n)
  assert np.mean(scores) == pytest.approx(predicted, rel=0.1)


def test_mismatches_raise():
  a, b = clouds()
  with pytest.raises(ValueError, match="at least 2 examples; got 1"):
    _ = Statistics.of(a[:1]).covariance
  with pytest.raises(ValueError, match="of 6 features; got 5"):
    Statistics.of(a).merge(Statistics.of(b[:, :5]))
  with pytest.raises(ValueError, match=r"\[N, d\]"):
    frechet.from_features(a, b[:, :5])
  with pytest.raises(ValueError, match=r"expected features \[N, d\]"):
    Statistics.of(a[0])
  with pytest.raises(ValueError, match=r"expected \[d\], \[d, d\]"):
    frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
  with pytest.raises(ValueError, match="finite"):
    frechet_distance([np.nan], [[1.0]], [0.0], [[1.0]])
