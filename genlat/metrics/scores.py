"""The metrics that `config.evaluation.metrics` names."""

import dataclasses
import sys

import numpy as np

from genlat.metrics import classifier, structural
from genlat.metrics import frechet as distances
from genlat.metrics import likelihood as bounds
from genlat.metrics import neighbours as nearby
from genlat.metrics import reconstruction as errors
from genlat.metrics.card import Card
from genlat.metrics.clusters import agreement
from genlat.metrics.extractors import Extractor, by_weights
from genlat.metrics.features import (
  QUANTISATION,
  extract,
  features,
  statistics,
)
from genlat.metrics.rate import rate_distortion
from genlat.metrics.task import Metric, Scores, Task, Unavailable


def reconstruction(task: Task) -> tuple[Scores, Card]:
  """Mean squared error and PSNR of held-out images; codes are means."""
  if task.reconstruct is None:
    raise Unavailable("a classifier makes no images")
  error, psnr, count = 0.0, 0.0, 0
  for images in task.batches():
    pair = [x / np.float32(255) for x in (images, task.reconstruct(images))]
    mse = errors.mean_squared_error(*pair)
    error += float(mse.sum())
    psnr += float(errors.finite_ratio(mse, images[0].size).sum())
    count += len(images)
  scores = {"mse": error / count, "psnr_db": psnr / count}
  return scores, dataclasses.replace(
    task.card,
    quantisation=QUANTISATION,
    sample_count=count,
    sampler="reconstruction from the mean code",
  )


def likelihood(task: Task) -> tuple[Scores, Card]:
  """The terms of the bound, the bound, and the importance-weighted bound.

  In nats where the observation model is a density; otherwise the paper's
  energies, and no bound.
  """
  scores: Scores = dict(task.means())
  settings, draws = task.config.data, 0
  if task.log_weights is not None:
    draws = task.config.evaluation.importance_samples
  card = dataclasses.replace(
    _averaged(task),
    sampler=f"draws of the posterior: 1 for terms, {draws} for the bound",
    quantisation=_prepared(task),
  )
  if task.log_weights is None:
    return scores, card
  total = elbo = 0.0
  for log_weights in task.log_weights(draws):
    total += float(bounds.importance_bound(log_weights).sum())
    elbo += float(log_weights.mean(0).sum())
  nats = {"elbo": elbo / task.count, "importance_bound": total / task.count}
  scores |= {f"{name}_nats": value for name, value in nats.items()}
  scores["importance_samples"] = draws
  dequantised = settings.dequantise
  # A Gaussian's density of undequantised grey levels bounds nothing.
  if task.config.likelihood.name != "gaussian" or dequantised:
    dimensions = int(np.prod(next(task.batches()).shape[1:]))
    for name, value in nats.items():
      scores[f"{name}_bits_per_dim"] = float(
        bounds.bits_per_dimension(-value, dimensions, dequantised=dequantised)
      )
  return scores, card


def _prepared(task: Task) -> str:
  """How images that are not uint8 were made of those that are."""
  settings = task.config.data
  return f"binarise {settings.binarise}, dequantise {settings.dequantise}"


def flow_nll(task: Task) -> tuple[Scores, Card]:
  """Minus the log-density of held-out codes under the prior, nats."""
  scores = {k: v for k, v in task.means().items() if k == "flow_nll"}
  if task.prior_nll is not None:
    scores["prior_nll"] = task.prior_nll()
  if not scores:
    raise Unavailable("this model has no flow and no fitted prior")
  return scores, dataclasses.replace(_averaged(task), sampler="mean codes")


def codes(task: Task) -> tuple[Scores, Card]:
  """Active units and, where the prior is N(0, I), each dimension's KL."""
  if task.posteriors is None:
    raise Unavailable("this model's codes are no Gaussians given an image")
  pairs = task.posteriors()
  mean, log_variance = (np.concatenate(x) for x in zip(*pairs, strict=True))
  scores: Scores = {
    "active_units": bounds.active_units(mean),
    "dimensions": mean.shape[1],
  }
  if task.standard:
    kl = np.asarray(bounds.kl_per_dimension(mean, log_variance))
    scores["kl_per_dimension_nats"] = [float(x) for x in kl]
  return scores, dataclasses.replace(
    _averaged(task), sampler="mean codes", quantisation=_prepared(task)
  )


def frechet(task: Task) -> tuple[Scores, Card]:
  """Fréchet distance between features of samples and of the reference."""
  if task.sample is None:
    raise Unavailable("there is no prior to sample from; see --mode=fit")
  extractor = _extractor(task)
  settings = task.config.evaluation
  # As many on both sides: the distance falls with either (glf.md 3).
  count = min(task.count, settings.samples)
  reference = statistics(
    extractor,
    task.batches(task.reference, count),
    report=_progress("reference", count),
    key={"data": task.reference.fingerprint, "count": count},
  )
  samples = statistics(
    extractor,
    task.sample(count),
    report=_progress("samples", count),
  )
  card = dataclasses.replace(
    task.card,
    network=extractor.network,
    sha256=extractor.sha256,
    resize=extractor.resize,
    quantisation=QUANTISATION,
    reference_count=count,
    sample_count=count,
  )
  return {"frechet": distances.from_statistics(samples, reference)}, card


def neighbours(task: Task) -> tuple[Scores, Card]:
  """Distance of samples, and of held-out images, to their nearest in train.

  Samples much nearer than held-out images are copies. In pixels of [0, 1], or
  between features where `evaluation.neighbour_features` says inception.
  """
  if task.sample is None:
    raise Unavailable("there is no prior to sample from; see --mode=fit")
  if task.anew:
    raise Unavailable(
      "each step of training composes scenes of its own: there are no training"
      " images to find again; config.data.count makes a fixed set"
    )
  kind = task.config.evaluation.neighbour_features
  if kind not in ("pixels", "inception"):
    raise ValueError(
      "config.evaluation.neighbour_features must be pixels or inception; got"
      f" {kind!r}"
    )
  extractor = _extractor(task) if kind == "inception" else None
  samples = np.concatenate(list(task.sample(16)))[:16]
  held_out = task.reference.read(np.arange(min(64, task.count)))["image"]
  queries = np.concatenate([samples, held_out])
  references = task.batches(task.train)
  card = dataclasses.replace(task.card, sample_count=len(samples))
  if extractor is not None:
    queries = extract(extractor, [queries])
    report = _progress("train", len(task.train))
    references = features(extractor, references, report=report)
    card = dataclasses.replace(
      card,
      network=extractor.network,
      sha256=extractor.sha256,
      resize=extractor.resize,
    )
  found = nearby.nearest(queries, references, k=4)
  indices = found.indices[: len(samples)]
  near = task.train.read(indices.reshape(-1))["image"]
  rows = near.reshape(*indices.shape, *near.shape[1:])
  task.picture("neighbours", samples, rows)
  first = found.distances[:, 0]
  scores = {
    "samples_to_train": float(np.median(first[: len(samples)])),
    "held_out_to_train": float(np.median(first[len(samples) :])),
  }
  return scores, card


def diversity(task: Task) -> tuple[Scores, Card]:
  """MS-SSIM of pairs of samples, and of held-out images; low is diverse."""
  if task.sample is None:
    raise Unavailable("there is no prior to sample from; see --mode=fit")
  settings = task.config.evaluation
  side, pairs = settings.diversity_side, settings.samples // 2
  if min(pairs, task.count // 2) < 1:
    raise Unavailable("a pair needs two samples and two held-out images")
  # Neighbours in a file are often of one class or person: pairs are drawn.
  order = np.random.default_rng(settings.seed).permutation(task.count)
  chosen = order[: min(task.count, 2 * pairs) // 2 * 2]
  parts = np.array_split(chosen.reshape(-1, 2), max(1, len(chosen) // 256))
  real = (task.reference.read(part.reshape(-1))["image"] for part in parts)
  held_out, others = structural.mean_of_pairs(real, pairs, side)
  made, count = structural.mean_of_pairs(task.sample(2 * pairs), pairs, side)
  height, width = structural.resized(task.shape[:2], side)
  card = dataclasses.replace(
    task.card,
    network="MS-SSIM of 5 scales, window of 11 pixels or the side",
    resize=f"linear to {height} x {width}",
    quantisation=QUANTISATION,
    sample_count=2 * count,
    reference_count=2 * others,
  )
  return {"ms_ssim": made, "ms_ssim_held_out": held_out, "pairs": count}, card


def classes(task: Task) -> tuple[Scores, Card]:
  """What a classifier of the data's labels makes of samples.

  `class_score` is exp E KL of it (never the Inception Score, whose network it
  is not), `label_accuracy` the share of samples that it takes for the label
  that was asked for, over all labels alike. Where a model's labels are its own
  `sample_*` is how they agree with the classifier's, as in `clusters`.
  `reconstruction_accuracy` is how often it names a reconstruction as its image
  is labelled: where that is high and samples score badly, the prior misses
  the codes that the decoder knows.
  """
  if task.sample is None:
    raise Unavailable("there is no prior to sample from; see --mode=fit")
  if not task.train.classes:
    raise Unavailable(f"{task.train.name} has no labels")
  settings = task.config.evaluation
  names = len(task.train.classes)
  judge = classifier.trained(task.train, names, settings.classifier_steps)
  real = judge.logits(task.batches())
  labels = task.labels()
  count = settings.samples
  made = judge.logits(task.sample(count))
  scores: Scores = {
    "class_score": classifier.class_score(made),
    "class_score_held_out": classifier.class_score(real),
    "classifier_accuracy": float((real.argmax(1) == labels).mean()),
  }
  if task.reconstruct is not None:
    copies = judge.logits(map(task.reconstruct, task.batches()))
    right = float((copies.argmax(1) == labels).mean())
    scores["reconstruction_accuracy"] = right
  if task.classes:
    asked = np.arange(count) % task.classes
    told = judge.logits([task.sample_of(count, asked)])
    if task.labelled:
      scores["label_accuracy"] = float((told.argmax(1) == asked).mean())
    else:
      agreed = agreement(asked, told.argmax(1))
      scores |= {f"sample_{k}": value for k, value in agreed.items()}
  card = dataclasses.replace(
    task.card,
    network=judge.description,
    sha256=judge.sha256,
    quantisation=QUANTISATION,
    sample_count=count,
    reference_count=task.count,
  )
  return scores, card


def classification(task: Task) -> tuple[Scores, Card]:
  """What share of held-out images a classifier names wrongly."""
  if task.classify is None:
    raise Unavailable("this model is no classifier")
  logits = np.concatenate([task.classify(x) for x in task.batches()])
  labels = task.labels()
  wrong = logits.argmax(1) != labels
  scores: Scores = {"error": float(wrong.mean())}
  for k, name in enumerate(task.reference.classes):
    if (labels == k).any():
      scores[f"error_of_{name}"] = float(wrong[labels == k].mean())
  return scores, dataclasses.replace(_averaged(task), sampler="")


def clusters(task: Task) -> tuple[Scores, Card]:
  """How a model's own labels of held-out images agree with the data's."""
  if task.assign is None:
    raise Unavailable("this model has no labels of its own")
  if not task.reference.classes:
    raise Unavailable(f"{task.reference.name} has no labels")
  own = np.concatenate([task.assign(x).argmax(1) for x in task.batches()])
  scores = agreement(own, task.labels())
  return dict(scores), dataclasses.replace(
    _averaged(task),
    sampler="the model's own classifier Q, which has"
    f" {'' if task.labelled else 'not '}seen the data's labels",
  )


def _averaged(task: Task) -> Card:
  """The card of a score that makes no images: averages normalise it."""
  return dataclasses.replace(
    task.card, sample_count=task.count, normalisation="average"
  )


def _extractor(task: Task) -> Extractor:
  """The feature network of `config.weights.inception`."""
  path, resize = task.config.weights.inception, task.config.evaluation.resize
  if not path:
    raise Unavailable(
      "it needs the Inception weights: --config.weights.inception=FILE (see"
      " docs/evaluation.md), or 'random' for a smoke run"
    )
  return by_weights(path, task.config.weights.inception_sha256, resize)


def _progress(name: str, total: int):
  """Prints how far a slow pass is, on a terminal only."""

  def report(done: int) -> None:
    if sys.stderr.isatty():
      end = "\n" if done >= total else "\r"
      print(f"features of {name}: {done}/{total}", end=end, file=sys.stderr)

  return report


METRICS: dict[str, Metric] = {
  "classes": classes,
  "classification": classification,
  "clusters": clusters,
  "codes": codes,
  "diversity": diversity,
  "flow_nll": flow_nll,
  "frechet": frechet,
  "likelihood": likelihood,
  "neighbours": neighbours,
  "rate_distortion": rate_distortion,
  "reconstruction": reconstruction,
}
