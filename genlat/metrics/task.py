"""What a metric is given: a model as callables, data, and a protocol card."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from genlat.metrics.card import Card

Scores = dict[str, Any]


class Images(Protocol):
  """Random access to uint8 images: a data source."""

  name: str
  fingerprint: str
  classes: tuple[str, ...]

  def __len__(self) -> int:
    """Number of images."""
    ...

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """A dictionary whose `image` is uint8 `[B, H, W, C]`."""
    ...


class Remade(NamedTuple):
  """A batch remade of its first k codes, for k = 0 ... T.

  Attributes:
    rate: what the k codes cost, `[B, T + 1]` nats.
    mse: mean squared error of the copies, `[B, T + 1]`.
    nats: -log p(image | all codes), `[B, T + 1]`; None where the observation
      model is no density.
    originals: some of the images as they were coded, uint8 `[n, H, W, C]`.
    copies: of those, uint8 `[n, T + 1, H, W, C]`.
  """

  rate: np.ndarray
  mse: np.ndarray
  nats: np.ndarray | None
  originals: np.ndarray
  copies: np.ndarray


@dataclasses.dataclass(frozen=True)
class Task:
  """One evaluation.

  Attributes:
    config: of the run.
    reference: images of the split that is evaluated.
    train: images of the train split.
    anew: whether a train step composes other images than these.
    sample: n to new uint8 images in parts; None without a prior.
    reconstruct: uint8 images to uint8 images; None for a classifier.
    means: means over the reference of the method's values per example.
    log_weights: k to `[k, B]` nats for each batch of the reference; None
      where the model has no density.
    posteriors: means and log-variances `[B, d]` of the codes of each batch of
      the reference, seen as by `log_weights`; None where they are no
      Gaussians.
    standard: whether the prior of those codes is N(0, I).
    prior_nll: mean over the reference of -log p(code) of the prior that was
      fitted after training, nats; None without one.
    classes: labels that samples may be asked for by; 0 = none.
    labelled: whether those are the labels of the data.
    sample_of: n and labels to n new uint8 images of them.
    assign: uint8 images to logits `[B, classes]` of the model's own labels;
      None where it has none.
    classify: uint8 images to logits `[B, classes]` of the data's labels; None
      for a method that is no classifier.
    remade: whether the codes that are not kept are the prior's means, not
      its draws, to the batches of the reference; None where a code has no
      steps.
    card: the protocol, with the fields that all metrics share.
    picture: name, uint8 images `[N, H, W, C]` and those to stand right of
      them, `[N, k, H, W, C]`: a picture to keep beside the scores.
    plot: name, name and values of the abscissa, and curves by name: another.
  """

  config: ConfigDict
  reference: Images
  train: Images
  anew: bool
  sample: Callable[[int], Iterator[np.ndarray]] | None
  reconstruct: Callable[[np.ndarray], np.ndarray] | None
  means: Callable[[], dict[str, float]]
  log_weights: Callable[[int], Iterator[np.ndarray]] | None
  posteriors: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]] | None
  standard: bool
  prior_nll: Callable[[], float] | None
  classes: int
  labelled: bool
  sample_of: Callable[[int, np.ndarray], np.ndarray]
  assign: Callable[[np.ndarray], np.ndarray] | None
  classify: Callable[[np.ndarray], np.ndarray] | None
  remade: Callable[[bool], Iterator[Remade]] | None
  card: Card
  picture: Callable[[str, np.ndarray, np.ndarray], None]
  plot: Callable[
    [str, str, Sequence[float], Mapping[str, Sequence[float]]], None
  ]

  @property
  def count(self) -> int:
    """Examples of the reference that are read."""
    limit = self.config.evaluation.limit
    return min(limit or len(self.reference), len(self.reference))

  @property
  def shape(self) -> tuple[int, int, int]:
    """Height, width and channels of an image."""
    height, width, channels = self.reference.read(np.arange(1))["image"].shape[
      1:
    ]
    return height, width, channels

  def labels(self) -> np.ndarray:
    """Labels of the reference, int `[count]`, in the order of `batches`."""
    return self.reference.read(np.arange(self.count))["label"]

  def batches(
    self, images: Images | None = None, count: int = 0
  ) -> Iterator[np.ndarray]:
    """uint8 images in order: of the reference up to `count`, by default."""
    source = images or self.reference
    total = count or (self.count if images is None else len(source))
    size = self.config.evaluation.batch_size
    for start in range(0, total, size):
      rows = np.arange(start, min(start + size, total))
      yield source.read(rows)["image"]


class Unavailable(ValueError):
  """A metric does not apply to this model; the line says why."""


Metric = Callable[[Task], tuple[Scores, Card]]
