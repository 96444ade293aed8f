"""How well clusters agree with labels."""

import numpy as np


def agreement(clusters: np.ndarray, labels: np.ndarray) -> dict[str, float]:
  """Accuracy under the best matching, purity and mutual information.

  Args:
    clusters: int `[N]`.
    labels: int `[N]`.

  Returns:
    `accuracy`: share of examples whose cluster is matched with their label,
    each cluster with one label at most (Hungarian). `purity`: the same with
    each cluster matched with its commonest label. `nmi`: mutual information
    over the arithmetic mean of the entropies.

  Raises:
    ValueError: for unequal lengths.
  """
  from scipy.optimize import linear_sum_assignment
  from sklearn.metrics import normalized_mutual_info_score

  if clusters.shape != labels.shape or not len(labels):
    raise ValueError(
      f"expected as many clusters as labels; got {clusters.shape} and"
      f" {labels.shape}"
    )
  table = np.zeros((clusters.max() + 1, labels.max() + 1))
  np.add.at(table, (clusters, labels), 1)
  rows, columns = linear_sum_assignment(-table)
  return {
    "accuracy": float(table[rows, columns].sum() / len(labels)),
    "purity": float(table.max(1).sum() / len(labels)),
    "nmi": float(normalized_mutual_info_score(labels, clusters)),
  }
