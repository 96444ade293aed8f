"""The training images nearest to samples: a look for memorised ones.

Distances are L2, over pixels or over features, in float64: memorised images
are those whose distance is almost zero, and the usual expansion of the square
loses just these. It is used to choose candidates only.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

_CHUNK = 2**23  # numbers of references at a time, 64 MiB


class Neighbours(NamedTuple):
  """The k nearest references of each of Q queries, nearest first.

  Attributes:
    indices: `[Q, k]` positions in the stream of references.
    distances: `[Q, k]` float64, L2.
  """

  indices: np.ndarray
  distances: np.ndarray


def nearest(
  queries: np.ndarray, references: Iterable[np.ndarray], k: int = 5
) -> Neighbours:
  """Finds the k nearest references.

  Args:
    queries: `[Q, ...]`: uint8 images, which count as [0, 1], or features.
    references: batches `[n, ...]` of the same kind.
    k: how many.

  Raises:
    ValueError: for k < 1, fewer than k references, or items of another shape
      or type.
  """
  if k < 1:
    raise ValueError(f"expected at least 1 neighbour; got {k}")
  flat = _flat(queries)
  best = Neighbours(
    np.zeros((len(flat), 0), np.int64), np.zeros((len(flat), 0))
  )
  seen = 0
  for batch in references:
    if batch.shape[1:] != queries.shape[1:] or batch.dtype != queries.dtype:
      raise ValueError(
        f"expected references {queries.dtype} [n, *{queries.shape[1:]}] as the"
        f" queries; got {batch.dtype} {batch.shape}"
      )
    step = max(1, _CHUNK // max(flat.shape[1], 1))
    for start in range(0, len(batch), step):
      rows = _flat(batch[start : start + step])
      best = _keep(best, _nearest_of(flat, rows, k, seen), k)
      seen += len(rows)
  if seen < k:
    raise ValueError(f"expected at least {k} references; got {seen}")
  return best


def _flat(items: np.ndarray) -> np.ndarray:
  rows = items.reshape(len(items), -1).astype(np.float64)
  return rows / 255 if items.dtype == np.uint8 else rows


def _nearest_of(
  queries: np.ndarray, rows: np.ndarray, k: int, offset: int
) -> Neighbours:
  """The k nearest of one chunk, with exact distances."""
  squares = np.einsum("nd,nd->n", rows, rows)
  score = squares - 2 * (queries @ rows.T)
  chosen = np.argsort(score, axis=1, kind="stable")[:, :k]
  distances = np.stack(
    [
      np.linalg.norm(rows[picks] - query, axis=1)
      for query, picks in zip(queries, chosen, strict=True)
    ]
  )
  return Neighbours(chosen + offset, distances)


def _keep(one: Neighbours, other: Neighbours, k: int) -> Neighbours:
  indices = np.concatenate([one.indices, other.indices], 1)
  distances = np.concatenate([one.distances, other.distances], 1)
  # Of equal distances the earlier reference comes first.
  order = np.lexsort((indices, distances), axis=1)[:, :k]
  return Neighbours(
    np.take_along_axis(indices, order, 1),
    np.take_along_axis(distances, order, 1),
  )
