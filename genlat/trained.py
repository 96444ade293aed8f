"""A trained model as a user holds it: uint8 images in, uint8 images out.

model = genlat.load("runs/glf")
grid = model.sample(64, seed=0)
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from genlat import priors
from genlat.films import Reel, frames
from genlat.generation import Key, compiled, to_host
from genlat.methods.method import (
  Assigning,
  Classifying,
  Conditional,
  Method,
  Painting,
)
from genlat.state import State
from genlat.texts.captions import Captions

# Images a compiled call makes, rounded up to the devices; where the batch's
# own statistics count, as many as in the official GLF script.
CHUNK, OFFICIAL = 64, 500


class UnknownWords(UserWarning):
  """A prompt has words that no caption of the training data has."""


@dataclasses.dataclass(frozen=True)
class Trained:
  """A method with its weights.

  Attributes:
    config: the run's configuration.
    method: what it is.
    state: its weights.
    image_shape: H, W, C.
    mesh: the devices it runs on.
    prior: fitted to its codes after training, or None; it then replaces
      the method's own prior.
    captions: the encoder of its captions, or None.
  """

  config: ConfigDict
  method: Method
  state: State
  image_shape: tuple[int, int, int]
  mesh: Mesh
  prior: priors.Fitted | None = None
  captions: Captions | None = None

  @property
  def step(self) -> int:
    """Train steps done."""
    return int(self.state.step)

  @property
  def generative(self) -> bool:
    """Whether there is a prior to sample from."""
    return self.method.generative or self.prior is not None

  @property
  def classes(self) -> int:
    """Number of labels that samples may be asked for by; 0 = none."""
    method = self.method
    return method.classes if isinstance(method, Conditional) else 0

  @property
  def labelled(self) -> bool:
    """Whether those labels are the data's."""
    method = self.method
    return isinstance(method, Conditional) and method.labelled

  @property
  def text(self) -> int:
    """Dimensions of the captions' vectors it may be asked by; 0 = none."""
    method = self.method
    return method.text if isinstance(method, Conditional) else 0

  def sample(
    self,
    n: int,
    seed: int = 0,
    labels: Sequence[int] | np.ndarray = (),
    text: str | Sequence[str] | np.ndarray = (),
  ) -> np.ndarray:
    """New images.

    Args:
      n: how many; the first of them do not depend on it.
      seed: of the draw.
      labels: of the images, again from the first where there are fewer than
        n; empty for the prior's own. The noise does not depend on them.
      text: captions of the images, or vectors of captions `[m, t]`, likewise.

    Returns:
      uint8 `[n, H, W, C]`.

    Raises:
      ValueError: for labels or captions that the model does not know.
    """
    if n < 1:
      raise ValueError(f"the number of samples must be at least 1; got {n}")
    if not len(labels) and not len(_listed(text)):
      return np.concatenate(list(self.samples(n, seed)))[:n]
    return self._as_told("sample_of", n, seed, labels, text)

  def sample_codes(
    self,
    n: int,
    seed: int,
    labels: Sequence[int] | np.ndarray = (),
    text: str | Sequence[str] | np.ndarray = (),
  ) -> np.ndarray:
    """Codes `[n, ...]` of the samples so conditioned, as for `sample`."""
    return self._as_told("codes_of", n, seed, labels, text)

  def _as_told(
    self,
    name: str,
    n: int,
    seed: int,
    labels: Sequence[int] | np.ndarray,
    text: str | Sequence[str] | np.ndarray,
  ) -> np.ndarray:
    text = _listed(text)
    if len(text):
      if len(labels):
        raise ValueError("samples are asked for by label or by text, not both")
      rows = self._vectors(text)
    else:
      rows = self._known(labels)
    key, call = jax.random.key(seed), self._call(name)
    return self._by_chunks(
      lambda rows, i: call(self.state, rows, jax.random.fold_in(key, i)),
      rows[np.arange(n) % len(rows)],
    )

  def _known(self, labels: Sequence[int] | np.ndarray) -> np.ndarray:
    known = self.classes
    if not len(labels):
      raise ValueError("at least one label is needed; got none")
    if not known:
      raise ValueError(f"this model has no labels; got {len(labels)}")
    asked = np.asarray(labels)
    if asked.ndim != 1 or asked.min() < 0 or asked.max() >= known:
      few = f"{asked.tolist()}" if asked.size < 20 else f"{list(asked.shape)}"
      raise ValueError(f"this model has labels 0 to {known - 1}; got {few}")
    return asked.astype(np.int32)

  def _vectors(self, text: Sequence[str] | np.ndarray) -> np.ndarray:
    """Vectors of captions `[m, t]`."""
    if not self.text:
      raise ValueError("this model takes no text")
    if any(isinstance(line, str) and not line.strip() for line in text):
      raise ValueError("an empty caption says nothing: leave text out")
    if not all(isinstance(line, str) for line in text):
      text = np.asarray(text, np.float32)
      if text.shape[1:] != (self.text,):
        raise ValueError(
          f"vectors of captions must be [m, {self.text}];"
          f" got {list(text.shape)}"
        )
      return text
    if self.captions is None:
      raise ValueError(
        "this model was trained on vectors that were made elsewhere: it has no"
        " encoder of captions, give it such vectors"
      )
    strange = self.captions.vocabulary.unknown(list(text))
    if strange:
      warnings.warn(
        f"no caption of the training data has {', '.join(map(repr, strange))}:"
        " the model cannot tell one such word from another",
        UnknownWords,
        stacklevel=4,
      )
    return self.captions.embed(list(text))

  def class_sheet(self, rows: int = 10, seed: int = 0) -> np.ndarray:
    """Samples by label and noise: one noise a row, one label a column.

    Returns:
      uint8 `[rows, classes, H, W, C]`.
    """
    columns = [self.sample(rows, seed, [k]) for k in range(self.classes)]
    return np.stack(columns, 1)

  def samples(self, n: int, seed: int = 0) -> Iterator[np.ndarray]:
    """As `sample`, in parts of at most one compiled call."""
    key = jax.random.key(seed)
    for i in range(-(-n // self._chunk)):
      images = self._call("sample")(
        self.state, self._prior_params, jax.random.fold_in(key, i)
      )
      yield to_host(images)[: n - i * self._chunk]

  def encode(self, images: np.ndarray, seed: int | None = None) -> np.ndarray:
    """Codes of images.

    Args:
      images: uint8 `[N, H, W, C]`.
      seed: None for the posterior's mean, else the seed of a draw.

    Returns:
      `[N, ...]` float32.
    """
    images = self._checked(images)
    key = None if seed is None else jax.random.key(seed)
    encode = self._call("encode" if seed is None else "draw")
    keys = (
      (lambda i: ())
      if key is None
      else (lambda i: (jax.random.fold_in(key, i),))
    )
    return self._by_chunks(
      lambda rows, i: encode(self.state, rows, *keys(i)), images
    )

  @property
  def assigning(self) -> bool:
    """Whether it says which of its labels an image would be made of."""
    method = self.method
    return isinstance(method, Assigning) and method.assigning

  def assign(self, images: np.ndarray) -> np.ndarray:
    """Logits `[N, classes]` of the labels that uint8 images would have."""
    if not self.assigning:
      raise ValueError("this model has no classifier of its own labels")
    images, assign = self._checked(images), self._call("assign")
    return self._by_chunks(lambda rows, i: assign(self.state, rows), images)

  @property
  def classifying(self) -> bool:
    """Whether it names the data's labels, and makes no images."""
    return isinstance(self.method, Classifying)

  def classify(self, images: np.ndarray) -> np.ndarray:
    """Logits `[N, classes]` of the data's labels of uint8 images."""
    if not self.classifying:
      raise ValueError(f"{self.config.method} is no classifier")
    images, classify = self._checked(images), self._call("classify")
    return self._by_chunks(lambda rows, i: classify(self.state, rows), images)

  def decode(self, codes: np.ndarray) -> np.ndarray:
    """uint8 images `[N, H, W, C]` of codes `[N, ...]`."""
    codes = np.asarray(codes, np.float32)
    if codes.shape[1:] != self._code_shape:
      raise ValueError(
        f"codes must be [N, {', '.join(map(str, self._code_shape))}]; got"
        f" {list(codes.shape)}"
      )
    decode = self._call("decode")
    return self._by_chunks(lambda rows, i: decode(self.state, rows), codes)

  def reconstruct(self, images: np.ndarray) -> np.ndarray:
    """Decodes the codes of uint8 images `[N, H, W, C]`."""
    return self.decode(self.encode(images))

  def interpolate(
    self, start: np.ndarray, end: np.ndarray, steps: int = 8
  ) -> np.ndarray:
    """Images along the straight line between two images' codes.

    Args:
      start: uint8 `[N, H, W, C]`.
      end: uint8 `[N, H, W, C]`.
      steps: images a row, both ends included.

    Returns:
      uint8 `[N, steps, H, W, C]`.
    """
    if steps < 2:
      raise ValueError(f"an interpolation has at least 2 steps; got {steps}")
    a, b = self.encode(start), self.encode(end)
    share = np.linspace(0.0, 1.0, steps, dtype=np.float32)
    share = share.reshape(1, steps, *[1] * (a.ndim - 1))
    codes = a[:, None] * (1 - share) + b[:, None] * share
    flat = self.decode(codes.reshape(-1, *a.shape[1:]))
    return flat.reshape(len(a), steps, *self.image_shape)

  @property
  def painting(self) -> bool:
    """Whether it makes images in steps, which can be filmed."""
    return isinstance(self.method, Painting)

  def film(
    self, n: int, seed: int = 0, images: np.ndarray | None = None
  ) -> Reel:
    """Drawings step by step, with the windows of each stroke.

    Args:
      n: how many; the first of `images` where they are given.
      seed: of the draw.
      images: uint8 `[N, H, W, C]` to be copied; None for samples.

    Raises:
      ValueError: for a model that does not draw, or more than one call makes.
    """
    if not self.painting:
      raise ValueError(f"{self.config.method} does not draw in steps")
    if not 1 <= n <= self._chunk:
      raise ValueError(f"a film is of 1 to {self._chunk} drawings; got {n}")
    key = jax.random.key(seed)
    if images is None:
      film = self._call("film")(self.state, key)
    else:
      images = self._checked(images)[:n]
      n = len(images)
      rows = images[np.arange(self._chunk) % n]
      film = self._call("film_of")(self.state, rows, key)
    film = jax.tree.map(lambda x: to_host(x)[:n], film)
    block = self.config.draw
    return Reel(
      film.canvas,
      frames(film.written, block.write),
      frames(film.seen, block.read),
    )

  @property
  def _chunk(self) -> int:
    rows = OFFICIAL if self.config.evaluation.batch_statistics else CHUNK
    return -(-rows // self.mesh.size) * self.mesh.size

  @functools.cached_property
  def _code_shape(self) -> tuple[int, ...]:
    image = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
    return jax.eval_shape(self.method.encode, self.state, image).shape[1:]

  @property
  def _prior_params(self) -> Any:
    return None if self.prior is None else self.prior.params

  def _checked(self, images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
      raise ValueError(
        f"images must be uint8 [N, {', '.join(map(str, self.image_shape))}];"
        f" got {images.dtype} {list(images.shape)}"
      )
    return images

  def _by_chunks(
    self, fn: Callable[[np.ndarray, int], Any], rows: np.ndarray
  ) -> np.ndarray:
    """Runs `fn` on parts of one size, the last padded, and joins them."""
    size, out = self._chunk, []
    for i, start in enumerate(range(0, len(rows), size)):
      part = rows[start : start + size]
      # Filled with rows of its own, should the batch's statistics count.
      filled = part[np.arange(size) % len(part)]
      out.append(to_host(fn(filled, i))[: len(part)])
    return np.concatenate(out) if out else rows

  def _call(self, name: str) -> Callable[..., Any]:
    """The compiled function of this name, made once for a method."""
    law = None if self.prior is None else self.prior.law
    key = Key(self.method, self.config.data.binarise != "none")
    return compiled(name, key, law, self.mesh, self._chunk)


def _listed(
  text: str | Sequence[str] | np.ndarray,
) -> Sequence[str] | np.ndarray:
  """Captions one by one; an empty one is asked for, unlike no captions."""
  return [text] if isinstance(text, str) else text
