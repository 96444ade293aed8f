"""A classifier that genlat trains itself, and what it says of samples.

The Inception Score asks for the logits of one network of 2015. This is no such
score: `class_score` is the same formula, exp E KL(p(y|x) || p(y)), of a small
classifier trained on the train split, and its name and card say so. Trained
weights are kept in the cache folder (`features.cache_folder`).
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

from genlat import files, sharding
from genlat.metrics.features import cache_folder
from genlat.metrics.task import Images
from genlat.nets.classifier import Classifier

BATCH, RATE, SEED = 128, 2e-3, 0
SMALLEST = 16  # pixels a side; smaller images are enlarged
IN_MEMORY, READ = 2**30, 4096  # bytes kept at most; images read at once


@dataclasses.dataclass(frozen=True)
class Judge:
  """A trained classifier.

  Attributes:
    classes: number of logits.
    params: its weights.
    description: how it came about, for a card.
  """

  classes: int
  params: Any
  description: str

  @property
  def sha256(self) -> str:
    """Of its weights, by name."""
    found = hashlib.sha256()
    flat = traverse_util.flatten_dict(self.params, sep="/")
    for name in sorted(flat):
      found.update(name.encode())
      found.update(np.ascontiguousarray(flat[name]).tobytes())
    return found.hexdigest()

  def logits(self, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Logits `[N, classes]` of uint8 images in batches."""
    apply = _compiled(self.classes)
    parts = []
    for batch in batches:
      for start in range(0, len(batch), BATCH):
        part = batch[start : start + BATCH]
        # One shape for all, so that one compilation serves.
        full = part[np.arange(BATCH) % len(part)]
        parts.append(np.asarray(apply(self.params, full))[: len(part)])
    return np.concatenate(parts or [np.zeros((0, self.classes), np.float32)])


def trained(source: Images, classes: int, steps: int) -> Judge:
  """A classifier of the source's labels, from the cache or trained now.

  Args:
    source: uint8 images with labels.
    classes: number of labels.
    steps: of Adam, with batches of BATCH images.

  Raises:
    ValueError: for a source without labels.
  """
  if "label" not in source.read(np.arange(1)):
    raise ValueError(f"{source.name} has no labels to train a classifier on")
  recipe = {
    "network": f"convolutions {Classifier(1).channels}, group normalisation",
    "steps": steps,
    "batch": BATCH,
    "rate": f"{RATE}, cosine",
    "smallest": SMALLEST,
    "seed": SEED,
    "classes": classes,
    "data": source.fingerprint,
  }
  text = json.dumps(recipe, sort_keys=True)
  name = hashlib.sha256(text.encode()).hexdigest()[:32]
  path = cache_folder() / "classifiers" / f"{name}.npz"
  params = _read(path)
  if params is None:
    params = _train(source, classes, steps)
    _write(path, params)
  name = (
    f"classifier trained by genlat on {source.name}"
    f" {source.fingerprint[:16]}, {steps} steps"
  )
  return Judge(classes, params, name)


def class_score(logits: np.ndarray) -> float:
  """Exp E KL(p(y|x) || p(y)), p(y) the mean over all, in [1, classes].

  Salimans et al. 2016 (arXiv:1606.03498) with another network; in float64,
  one split.

  Args:
    logits: `[N, K]`.
  """
  wide = logits.astype(np.float64)
  log_p = wide - wide.max(1, keepdims=True)
  log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
  p = np.exp(log_p)
  marginal = np.log(np.maximum(p.mean(0), 1e-300))
  return float(np.exp((p * (log_p - marginal)).sum(1).mean()))


def _train(source: Images, classes: int, steps: int) -> Any:
  net, key = Classifier(classes), jax.random.key(SEED)
  first = source.read(np.arange(1))["image"]
  params = net.init(key, _prepared(jnp.asarray(first)))["params"]
  schedule = optax.cosine_decay_schedule(RATE, steps)
  adam = optax.adam(schedule)

  def step(params: Any, memory: Any, images: Any, labels: Any):
    def loss(params: Any) -> jax.Array:
      logits: Any = net.apply({"params": params}, _prepared(images))
      return optax.softmax_cross_entropy_with_integer_labels(
        logits, labels
      ).mean()

    slope = jax.grad(loss)(params)
    updates, memory = adam.update(slope, memory, params)
    return optax.apply_updates(params, updates), memory

  compiled = sharding.compile(step, donate=(0, 1))
  memory = adam.init(params)
  print(f"trains a classifier, {steps} steps", file=sys.stderr, flush=True)
  read = _kept(source)
  for rows in _rows(len(source), steps):
    batch = read(rows)
    params, memory = compiled(params, memory, batch["image"], batch["label"])
  return params


def _kept(source: Images) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """A source's `read`, from memory where all of it is small.

  Made images are drawn at each reading, and files decoded.
  """
  count = len(source)
  if count * source.read(np.arange(1))["image"].nbytes > IN_MEMORY:
    return source.read
  starts = range(0, count, READ)
  parts = [source.read(np.arange(s, min(s + READ, count))) for s in starts]
  whole = {
    key: np.concatenate([part[key] for part in parts])
    for key in ("image", "label")
  }
  return lambda rows: {key: value[rows] for key, value in whole.items()}


def _rows(count: int, steps: int) -> Iterator[np.ndarray]:
  """Sorted rows of each batch; a new permutation each epoch."""
  rng, size = np.random.default_rng(SEED), min(BATCH, count)
  order, at = rng.permutation(count), 0
  for _ in range(steps):
    if at + size > count:
      order, at = rng.permutation(count), 0
    yield np.sort(order[at : at + size])
    at += size


def _prepared(images: jax.Array) -> jax.Array:
  """uint8 images as floats of [-1, 1], at least SMALLEST pixels a side."""
  x = images.astype(jnp.float32) / 127.5 - 1.0
  b, h, w, c = x.shape
  if min(h, w) < SMALLEST:
    shape = (b, max(h, SMALLEST), max(w, SMALLEST), c)
    x = jax.image.resize(x, shape, "linear")
  return x


@functools.cache
def _compiled(classes: int) -> Callable[..., jax.Array]:
  net = Classifier(classes)
  return sharding.compile(
    lambda params, images: net.apply({"params": params}, _prepared(images))
  )


def _read(path: pathlib.Path) -> Any:
  """Weights of a file, or None."""
  try:
    # NumPy leaves a file open that it cannot read.
    with open(path, "rb") as file, np.load(file) as archive:
      arrays = {k: archive[k] for k in archive.files}
    return traverse_util.unflatten_dict(arrays, sep="/")
  except FileNotFoundError:
    return None
  except (OSError, EOFError, ValueError, zipfile.BadZipFile):
    print(f"{path} is damaged: trained anew", file=sys.stderr, flush=True)
    return None


def _write(path: pathlib.Path, params: Any) -> None:
  flat = traverse_util.flatten_dict(params, sep="/")
  arrays = {k: np.asarray(v) for k, v in flat.items()}
  with files.whole(path) as draft, open(draft, "wb") as file:
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
