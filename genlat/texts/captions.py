"""Vectors of captions, from an encoder that is trained and then frozen.

A GRU reads a caption's words; a convolutional network sees the image; a hinge
on cosines pulls an image and its captions together (`losses.ranking`). What
it learns of words is all that a text to image model is told of them. Wang,
Peng, Ko 2019 (arXiv:1909.04443) use a recurrent encoder of 200 dimensions and
do not state which.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

from genlat import files, sharding
from genlat.losses import ranking
from genlat.nets.caption import CaptionEncoder
from genlat.nets.classifier import Classifier
from genlat.texts.vocabulary import PADDING, UNKNOWN, Vocabulary, sentences

CHUNK = 256  # captions of a compiled call
AGREEING = 1024  # images whose captions are compared with each other
CLIP = 10.0  # largest norm of a gradient
PATIENCE = 60.0  # seconds between lines of a training
TRAINING = 4  # how `train` trains; another number for another loss or draw


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How an encoder is trained.

  Attributes:
    size: t, dimensions of a caption's vector.
    steps: of Adam.
    batch_size: images, each with one of its captions.
    lr: rate, falling to 0 along a cosine.
    margin: of the hinge, in cosines.
    forget: share of words that are made unknown, and of words before which an
      unknown one is put, so that new ones do no harm.
    seed: of weights and draws.
  """

  size: int
  steps: int
  batch_size: int
  lr: float
  margin: float
  forget: float
  seed: int


@dataclasses.dataclass(frozen=True)
class Captions:
  """An encoder of captions.

  Attributes:
    vocabulary: the words it knows.
    params: its weights.
    size: t.
    origin: what it was trained on and how, as a digest.
    reading: what it makes of the GRU's states, as in `CaptionEncoder`.
  """

  vocabulary: Vocabulary
  params: Any
  size: int
  origin: str
  reading: str = "mean"

  @property
  def sha256(self) -> str:
    """Of weights and words."""
    return digest(self._arrays())

  def embed(self, captions: list[str]) -> np.ndarray:
    """Vectors of captions, float32 `[N, t]`, of length sqrt(t)."""
    tokens, lengths = self.vocabulary.encode(captions)
    encode = _encoder(len(self.vocabulary), self.size, self.reading)
    parts = []
    for start in range(0, len(captions), CHUNK):
      rows = np.arange(start, min(start + CHUNK, len(captions)))
      full = np.resize(rows, CHUNK)  # one shape, one compilation
      got = encode(self.params, tokens[full], lengths[full])
      parts.append(np.asarray(got)[: len(rows)])
    return np.concatenate(parts or [np.zeros((0, self.size), np.float32)])

  def write(self, path: pathlib.Path) -> None:
    """Writes everything to an npz file."""
    with files.whole(path) as draft, open(draft, "wb") as file:
      np.savez(file, **self._arrays())  # pyright: ignore[reportArgumentType]

  def _arrays(self) -> dict[str, np.ndarray]:
    flat = traverse_util.flatten_dict({"params": self.params}, sep="/")
    arrays = {
      **{name: np.asarray(value) for name, value in flat.items()},
      "words": np.array(json.dumps(self.vocabulary.known)),
      "length": np.array(self.vocabulary.length, np.int32),
      "origin": np.array(self.origin),
    }
    if self.reading != "last":  # the first files do not say, and keep a digest
      arrays["reading"] = np.array(self.reading)
    return arrays


def digest(arrays: Mapping[str, np.ndarray]) -> str:
  """Hex SHA-256 of arrays by name."""
  found = hashlib.sha256()
  for name, array in sorted(arrays.items()):
    found.update(name.encode())
    found.update(np.ascontiguousarray(array).tobytes())
  return found.hexdigest()


def read(path: pathlib.Path) -> Captions:
  """The encoder of a file.

  Raises:
    ValueError: if it is missing or damaged.
  """
  try:
    with open(path, "rb") as file, np.load(file) as archive:
      arrays = {name: archive[name] for name in archive.files}
    known = tuple(json.loads(str(arrays.pop("words"))))
    length = int(arrays.pop("length"))
    origin = str(arrays.pop("origin"))
    reading = str(arrays.pop("reading", "last"))
    params = traverse_util.unflatten_dict(arrays, sep="/")["params"]
    size = params["words"]["embedding"].shape[1]
  except FileNotFoundError as error:
    raise ValueError(
      f"{path}: no such file; an encoder of captions is the captions.npz of a"
      " run that trained one"
    ) from error
  except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(
      f"{path}: damaged, or no encoder of captions; take it away and train"
      " again"
    ) from error
  return Captions(Vocabulary(known, length), params, size, origin, reading)


def origin(source: Any, recipe: Recipe) -> str:
  """What an encoder of this source and recipe says it comes from."""
  lines = source.captions(np.arange(len(source)))
  how = [TRAINING, source.fingerprint, dataclasses.asdict(recipe)]
  return hashlib.sha256(json.dumps([*how, lines]).encode()).hexdigest()


def train(source: Any, recipe: Recipe, say: Callable[[str], None]) -> Captions:
  """Trains an encoder on a source's images and captions.

  Args:
    source: a `data.source.Source`; several captions of an example are lines.
    recipe: how.
    say: called with a line at the start, about one a minute, and one that
      says how it went.

  Raises:
    ValueError: for an image without a caption.
  """
  lines = all_captions(source)
  vocabulary = Vocabulary.of(line for own in lines for line in own)
  say(
    f"training an encoder of captions: {len(lines)} images,"
    f" {len(vocabulary.known)} words, {recipe.steps} steps; a kill before its"
    " end loses it"
  )
  params, value, right = _fit(source, lines, vocabulary, recipe, say)
  if not np.isfinite(value):
    raise ValueError(
      f"the encoder of captions ended at a hinge of {value}: lower"
      f" config.text.lr, it is {recipe.lr}"
    )
  made = Captions(vocabulary, params, recipe.size, origin(source, recipe))
  shares = ", ".join(f"{share:.0%}" for share in agreement(made, lines))
  others = f"; other captions find their image's first one for {shares}"
  say(
    f"trained an encoder of captions: {len(vocabulary.known)} words,"
    f" {recipe.steps} steps, hinge {value:.4f}, of"
    f" {min(recipe.batch_size, len(lines))} captions the right one is nearest"
    f" for {right:.0%} of the last images" + (others if shares else "")
  )
  return made


def _fit(
  source: Any,
  lines: list[list[str]],
  vocabulary: Vocabulary,
  recipe: Recipe,
  say: Callable[[str], None],
) -> tuple[Any, float, float]:
  """The encoder's weights, and the last batch's hinge and share of right."""
  text_net = CaptionEncoder(len(vocabulary), recipe.size)
  image_net = Classifier(recipe.size)
  on_text, on_image, key = jax.random.split(jax.random.key(recipe.seed), 3)
  tokens, lengths = vocabulary.encode([own[0] for own in lines[:1]])
  first = source.read(np.arange(1))["image"]
  params = {
    "text": text_net.init(on_text, tokens, lengths)["params"],
    "image": image_net.init(on_image, _floats(first))["params"],
  }
  schedule = optax.cosine_decay_schedule(recipe.lr, recipe.steps)
  tx = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(schedule))
  step = sharding.compile(_step(text_net, image_net, tx, recipe), donate=(0, 1))
  memory = tx.init(params)
  value = right = np.float32(0)
  told = time.monotonic()
  for i, batch in enumerate(_batches(source, lines, vocabulary, recipe)):
    if time.monotonic() - told > PATIENCE:
      told = time.monotonic()
      say(
        f"encoder of captions: step {i}/{recipe.steps},"
        f" hinge {float(value):.4f}"
      )
    params, memory, value, right = step(
      params, memory, batch, jax.random.fold_in(key, i)
    )
  weights = jax.tree.map(np.asarray, params["text"])
  return weights, float(value), float(right)


def _batches(
  source: Any, lines: list[list[str]], vocabulary: Vocabulary, recipe: Recipe
) -> Iterator[dict[str, np.ndarray]]:
  """Batches of images with one of their captions each, one for each step."""
  known = [frozenset(own) for own in lines]
  rng = np.random.default_rng(recipe.seed)
  size = min(recipe.batch_size, len(lines))
  for _ in range(recipe.steps):
    rows = np.sort(rng.choice(len(lines), size, replace=False))
    chosen = [lines[r][rng.integers(len(lines[r]))] for r in rows]
    tokens, lengths = strewn(rng, *vocabulary.encode(chosen), recipe.forget)
    yield {
      "image": source.read(rows)["image"],
      "tokens": tokens,
      "lengths": lengths,
      # Text j also describes image i: a right pair, if not the drawn one.
      "same": np.array([[text in known[r] for text in chosen] for r in rows]),
    }


def _step(
  text_net: CaptionEncoder,
  image_net: Classifier,
  tx: optax.GradientTransformation,
  recipe: Recipe,
) -> Callable[..., Any]:
  """One step of Adam: weights, memory, loss and share of right images."""

  def step(params: Any, memory: Any, batch: Any, key: jax.Array):
    dropped = jax.random.bernoulli(key, recipe.forget, batch["tokens"].shape)
    read = jnp.where(dropped, UNKNOWN, batch["tokens"])
    same = batch["same"]

    def loss(params: Any) -> tuple[jax.Array, jax.Array]:
      texts: Any = text_net.apply(
        {"params": params["text"]}, read, batch["lengths"]
      )
      images: Any = image_net.apply(
        {"params": params["image"]}, _floats(batch["image"])
      )
      value = ranking.cosine_hinge(images, texts, recipe.margin, same)
      likeness = ranking.unit(images) @ ranking.unit(texts).T
      nearest = likeness.argmax(1)[:, None]
      return value, jnp.take_along_axis(same, nearest, 1).mean()

    (value, right), slope = jax.value_and_grad(loss, has_aux=True)(params)
    updates, memory = tx.update(slope, memory, params)
    return optax.apply_updates(params, updates), memory, value, right

  return step


def strewn(
  rng: np.random.Generator,
  tokens: np.ndarray,
  lengths: np.ndarray,
  share: float,
) -> tuple[np.ndarray, np.ndarray]:
  """Puts unknown words before a share of the words.

  Args:
    rng: of the draw.
    tokens: numbers of words, int32 `[B, L]`.
    lengths: how many of each row are words, int32 `[B]`.
    share: of words.

  Returns:
    int32 `[B, 2 L]` and `[B]`, as in `Vocabulary.encode`.
  """
  rows, size = tokens.shape
  wide = np.full((rows, 2 * size), PADDING, np.int32)
  before = rng.random(tokens.shape) < share
  before &= np.arange(size) < lengths[:, None]
  places = np.arange(size) + before.cumsum(1)
  wide[np.arange(rows)[:, None], places] = tokens
  row, word = np.nonzero(before)
  wide[row, places[row, word] - 1] = UNKNOWN
  return wide, (lengths + before.sum(1)).astype(np.int32)


def agreement(encoder: Captions, lines: list[list[str]]) -> list[float]:
  """How often an image's other captions are nearest to its own first one.

  Among the first AGREEING images; a share for the second caption of each, the
  third and so on, as far as all of them have one. What is said in other words,
  or in another order, should be the same to a model.

  Args:
    encoder: of captions.
    lines: the captions of each image.
  """
  lines = lines[:AGREEING]
  firsts = [own[0] for own in lines]
  known = encoder.embed(firsts)
  shares = []
  for k in range(1, min(map(len, lines))):
    nearest = (encoder.embed([own[k] for own in lines]) @ known.T).argmax(1)
    pairs = zip(nearest, firsts, strict=True)
    shares.append(float(np.mean([firsts[j] == first for j, first in pairs])))
  return shares


def all_captions(source: Any) -> list[list[str]]:
  """The captions of every example.

  Raises:
    ValueError: for an example without any.
  """
  lines = [sentences(t) for t in source.captions(np.arange(len(source)))]
  bare = [i for i, own in enumerate(lines) if not own]
  if bare:
    raise ValueError(
      f"{source.name}: example {bare[0]} has no caption, as have"
      f" {len(bare)} of {len(lines)}; text to image needs one for each"
    )
  return lines


def _floats(images: Any) -> jax.Array:
  return jnp.asarray(images).astype(jnp.float32) / 127.5 - 1.0


@functools.cache
def _encoder(words: int, size: int, reading: str) -> Callable[..., jax.Array]:
  net = CaptionEncoder(words, size, reading)

  def encode(params: Any, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    got: Any = net.apply({"params": params}, tokens, lengths)
    return size**0.5 * ranking.unit(got)

  return sharding.compile(encode)
