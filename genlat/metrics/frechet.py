"""The Fréchet distance of two Gaussians fitted to features.

Heusel et al. 2017, eq. 6: d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)),
covariances with the divisor N - 1. Everything is float64 on the host: sums of
squares in float32 already move the score. The trace of the root is taken from
the eigenvalues of a symmetric matrix, never from a general matrix root, whose
complex noise needs patches.

The score is biased upwards by about (2d + (d^2 + d) / 2) / N for d features
and N examples on both sides: only scores of equal N compare.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Mean and scatter of a set of features, mergeable.

  Attributes:
    count: number of examples N.
    mean: `[d]` float64.
    scatter: `[d, d]` float64, the sum of centred outer products.
  """

  count: int
  mean: np.ndarray
  scatter: np.ndarray

  @classmethod
  def empty(cls, dim: int) -> "Statistics":
    """Of no example of `dim` features."""
    return cls(0, np.zeros(dim), np.zeros((dim, dim)))

  @classmethod
  def of(cls, features: np.ndarray) -> "Statistics":
    """Of a batch `[N, d]`."""
    if features.ndim != 2:
      raise ValueError(f"expected features [N, d]; got {features.shape}")
    if not len(features):
      return cls.empty(features.shape[1])
    features = features.astype(np.float64)
    mean = features.mean(0)
    centred = features - mean
    return cls(len(features), mean, centred.T @ centred)

  def merge(self, other: "Statistics") -> "Statistics":
    """Of both sets together (Chan, Golub, LeVeque 1983, eq. 2.1)."""
    if self.mean.shape != other.mean.shape:
      raise ValueError(
        f"expected statistics of {self.mean.size} features;"
        f" got {other.mean.size}"
      )
    count = self.count + other.count
    if not self.count or not other.count:
      return other if other.count else self
    shift = other.mean - self.mean
    share = other.count / count
    between = np.outer(shift, shift) * (self.count * share)
    return Statistics(
      count,
      self.mean + shift * share,
      self.scatter + other.scatter + between,
    )

  @property
  def covariance(self) -> np.ndarray:
    """`[d, d]`, with the divisor N - 1.

    Raises:
      ValueError: for fewer than two examples.
    """
    if self.count < 2:
      raise ValueError(
        f"a covariance needs at least 2 examples; got {self.count}"
      )
    return self.scatter / (self.count - 1)


def accumulate(batches: Iterable[np.ndarray], dim: int) -> Statistics:
  """Statistics of a stream of features `[n, d]`."""
  total = Statistics.empty(dim)
  for features in batches:
    total = total.merge(Statistics.of(features))
  return total


def frechet_distance(
  mean_1: np.ndarray,
  covariance_1: np.ndarray,
  mean_2: np.ndarray,
  covariance_2: np.ndarray,
) -> float:
  """Squared Fréchet distance of N(mean_1, C1) and N(mean_2, C2).

  Args:
    mean_1: `[d]`.
    covariance_1: `[d, d]`.
    mean_2: `[d]`.
    covariance_2: `[d, d]`.

  Raises:
    ValueError: for shapes that do not fit, or values that are not finite.
  """
  arrays = [
    np.asarray(a, np.float64)
    for a in (mean_1, covariance_1, mean_2, covariance_2)
  ]
  (dim,) = arrays[0].shape
  shapes = [a.shape for a in arrays]
  if shapes != [(dim,), (dim, dim)] * 2:
    raise ValueError(f"expected [d], [d, d], [d], [d, d]; got {shapes}")
  if not all(np.isfinite(a).all() for a in arrays):
    raise ValueError(
      "expected finite statistics; got NaN or infinity: look at the images"
      " and features they were made from"
    )
  mean_1, covariance_1, mean_2, covariance_2 = arrays
  root = _root_trace(covariance_1, covariance_2)
  traces = np.trace(covariance_1) + np.trace(covariance_2)
  return _assemble(mean_1 - mean_2, float(traces), root)


def from_statistics(one: Statistics, other: Statistics) -> float:
  """Squared Fréchet distance of two sets by their statistics."""
  return frechet_distance(
    one.mean, one.covariance, other.mean, other.covariance
  )


def from_features(one: np.ndarray, other: np.ndarray) -> float:
  """Squared Fréchet distance of two sets of features.

  Sets smaller than the number of features have singular covariances; the
  trace of the root is then the sum of the singular values of A B^T, with A
  and B the centred features over sqrt(N - 1): exact, and no d x d matrix.

  Args:
    one: `[N, d]`.
    other: `[M, d]`.
  """
  if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
    raise ValueError(
      f"expected features [N, d] and [M, d]; got {one.shape}, {other.shape}"
    )
  if min(len(one), len(other)) < 2 or max(len(one), len(other)) > one.shape[1]:
    return from_statistics(Statistics.of(one), Statistics.of(other))
  a, b = _scaled(one), _scaled(other)
  root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
  shift = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
  return _assemble(shift, float(np.sum(a * a) + np.sum(b * b)), float(root))


def _scaled(features: np.ndarray) -> np.ndarray:
  features = features.astype(np.float64)
  return (features - features.mean(0)) / np.sqrt(len(features) - 1)


def _root_trace(covariance_1: np.ndarray, covariance_2: np.ndarray) -> float:
  """Trace of (C1 C2)^(1/2) from the eigenvalues of F^T C2 F with C1 = F F^T."""
  try:
    factor = np.linalg.cholesky(covariance_1)
  except np.linalg.LinAlgError:
    values, vectors = np.linalg.eigh(covariance_1)
    factor = vectors * np.sqrt(np.maximum(values, 0))
  inner = factor.T @ covariance_2 @ factor
  values = np.linalg.eigvalsh((inner + inner.T) / 2)
  return float(np.sqrt(np.maximum(values, 0)).sum())


def _assemble(shift: np.ndarray, traces: float, root: float) -> float:
  # Rounding can leave equal sets a hair below 0.
  return max(float(shift @ shift) + traces - 2 * root, 0.0)
