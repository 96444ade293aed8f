"""What an image costs, and how it looks, when only its first codes are kept.

Gregor et al. 2016 (arXiv:1604.08772, Conceptual Compression): of the T steps
of a code the first k are stored, at sum_{t<=k} KL_t nats, and whoever decodes
them takes the rest from the prior. Where the rest is drawn, rate and nats of
the reconstruction together bound -log p(x) at every k: the rest costs nothing.
"""

import dataclasses

import numpy as np

from genlat.metrics import likelihood as bounds
from genlat.metrics import reconstruction as errors
from genlat.metrics.card import Card
from genlat.metrics.task import Scores, Task, Unavailable

RESTS = ("draw", "mean")
COLUMNS = 7  # copies of an image in the picture


def rate_distortion(task: Task) -> tuple[Scores, Card]:
  """Rate and distortion of held-out images by the number of codes kept.

  Lists, of k = 0 ... T: rates in nats an image and in bits a dimension of the
  data, mean squared error, PSNR, and, where the observation model is a
  density, nats of the reconstruction. A picture has copies at some k, another
  the curves.

  Raises:
    Unavailable: where a code has no steps.
    ValueError: for an unknown `evaluation.lossy_rest`.
  """
  if task.remade is None:
    raise Unavailable("codes of this model have no steps to keep some of")
  rest = task.config.evaluation.lossy_rest
  if rest not in RESTS:
    raise ValueError(
      f"config.evaluation.lossy_rest must be {' or '.join(RESTS)}; got {rest!r}"
    )
  dimensions = int(np.prod(task.shape))
  totals: dict[str, np.ndarray] = {}
  for i, part in enumerate(task.remade(rest == "mean")):
    if not i:
      shown = columns(part.copies.shape[1] - 1)
      task.picture("rate_distortion", part.originals, part.copies[:, shown])
    values = {
      "rate_nats": part.rate,
      "mse": part.mse,
      "psnr_db": errors.finite_ratio(part.mse, dimensions),
    }
    if part.nats is not None:
      values["reconstruction_nats"] = part.nats
    for name, value in values.items():
      total = np.asarray(value, np.float64).sum(0)
      totals[name] = totals.get(name, 0.0) + total
  means = {name: total / task.count for name, total in totals.items()}
  rate = means.pop("rate_nats")
  curves = {name: value.tolist() for name, value in means.items()}
  scores: Scores = {
    "codes_kept": list(range(len(rate))),
    "rate_nats": rate.tolist(),
    "rate_bits_per_dim": bounds.bits_per_dimension(rate, dimensions).tolist(),
    **curves,
  }
  task.plot("rate_distortion_curve", "rate, nats", rate.tolist(), curves)
  return scores, _card(task, rest)


def columns(steps: int) -> np.ndarray:
  """At most seven of k = 0 ... T, both ends among them."""
  return np.unique(np.linspace(0, steps, COLUMNS).round().astype(int))


def _card(task: Task, rest: str) -> Card:
  settings = task.config.data
  return dataclasses.replace(
    task.card,
    sample_count=task.count,
    normalisation="average",
    sampler="codes kept: 1 draw of the posterior; the others: "
    + ("a draw of the prior" if rest == "draw" else "the prior's mean"),
    quantisation=f"binarise {settings.binarise},"
    f" dequantise {settings.dequantise}",
  )
