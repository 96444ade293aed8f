"""What a data set is to the rest of genlat: uint8 images by index.

A source has a fixed order and random access. Shuffling, scaling and transfer
belong to the feeders, so that a batch stays a pure function of the data set,
the seed and the step.
"""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from ml_collections import ConfigDict

# The way out that errors about one file of many name after the better one.
LEAVE_OUT = (
  "leave such files out: --config.data.on_error=skip, where a run has learned"
  " from them in another --workdir (--on_error=skip of prepare)"
)


class DataError(ValueError):
  """Data that cannot be used: one line that names the cause and the fix."""


@dataclass(frozen=True)
class Settings:
  """What a builder of a source is told; the names are those of config.data.

  Attributes:
    name: a key of `genlat.data.DATASETS`, or 'tfds:NAME'.
    path: folder or archive of the files; '' = none.
    image_size: pixels of a side after resizing; 0 = as stored.
    crop: pixels of the central square cut first; 0 = the largest.
    count: examples that a synthetic source makes; 0 = its default.
    validation: share of train cut off for validation.
    on_error: 'raise' or 'skip' an image file that cannot be used.
    withhold: pairs of shape and colour that shapes keeps from train.
  """

  name: str
  path: str
  image_size: int
  crop: int
  count: int
  validation: float
  on_error: str
  withhold: int = 0

  def __post_init__(self) -> None:
    """Raises ValueError if a number is negative or `on_error` is unknown."""
    sizes = (self.crop, self.image_size, self.count)
    if min(sizes) < 0:
      raise ValueError(
        "config.data.crop, image_size and count must be 0 or more; got"
        f" {', '.join(map(str, sizes))}"
      )
    if self.on_error not in ("raise", "skip"):
      raise ValueError(
        f"config.data.on_error must be raise or skip; got {self.on_error!r}"
      )

  @classmethod
  def of(cls, config: ConfigDict) -> "Settings":
    """Those of `config.data`, checked."""
    known = [key for key in cls.__dataclass_fields__ if key in config]
    return cls(**{key: config[key] for key in known})


class Source(Protocol):
  """Random access to one split of a data set.

  Attributes:
    name: name of the data set, such as 'fashion_mnist'.
    image_shape: H, W, C of every image; C is 1 or 3.
    classes: names of the labels; () where there are none.
    fingerprint: hex digest that identifies the examples and their order,
      wherever the files lie.
  """

  name: str
  image_shape: tuple[int, int, int]
  classes: tuple[str, ...]
  fingerprint: str

  def __len__(self) -> int:
    """Number of examples."""
    ...

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """The examples at `indices` `[B]`.

    Returns:
      'image' uint8 `[B, H, W, C]` and, where there are any, 'label' int32
      `[B]` and 'attribute' int32 `[B, A]`.

    Raises:
      DataError: if a file is damaged or has another size than promised.
    """
    ...

  def captions(self, indices: np.ndarray) -> list[str]:
    """One text per index of `[B]`; '' where there is none.

    Several captions of an example stand on lines of their own.
    """
    ...


def digest(*parts: str | np.ndarray) -> str:
  """Hex digest (BLAKE2b, 128 bits) of strings and arrays, in order."""
  state = hashlib.blake2b(digest_size=16)
  for part in parts:
    if isinstance(part, np.ndarray):
      state.update(f"{part.dtype.str}{part.shape}".encode())
      state.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    else:
      state.update(f"{len(part)}:{part}".encode())
  return state.hexdigest()


def share(salt: str, name: str) -> float:
  """A number in [0, 1) that depends on the two strings alone."""
  state = hashlib.blake2b(f"{salt}/{name}".encode(), digest_size=8)
  return int.from_bytes(state.digest(), "little") / 2.0**64


def file_sha256(path: pathlib.Path) -> str:
  """Hex SHA-256 of a file."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def check_images(name: str, images: np.ndarray) -> None:
  """Raises DataError unless `images` is uint8 `[N, H, W, 1 or 3]`, N > 0."""
  right = images.dtype == np.uint8 and images.ndim == 4
  if not right or images.shape[-1] not in (1, 3):
    raise DataError(
      f"{name}: images must be uint8 [N, H, W, C] with C = 1 or 3; got"
      f" {images.dtype} {list(images.shape)}"
    )
  if not len(images):
    raise DataError(f"{name}: there is no image in it")


def check_labels(name: str, labels: np.ndarray, classes: int) -> None:
  """Raises DataError at the first label `[N]` outside of [0, classes)."""
  bad = np.flatnonzero((labels < 0) | (labels >= classes))
  if len(bad):
    raise DataError(
      f"{name}: label out of range: example {bad[0]} has label"
      f" {labels[bad[0]]}, expected 0 to {classes - 1}; the file is damaged"
      " or is not this data set"
    )


def check_split(name: str, split: str, known: tuple[str, ...]) -> None:
  """Raises DataError unless the data set has this split of its own."""
  if split not in known:
    hint = ""
    if split == "validation":
      hint = "; set config.data.validation to the share to cut from train"
    raise DataError(
      f"{name} has no split '{split}' of its own, only {', '.join(known)}{hint}"
    )


class ArraySource:
  """A source whose examples lie in host memory."""

  def __init__(
    self,
    name: str,
    arrays: Mapping[str, np.ndarray],
    classes: Sequence[str] = (),
    captions: Sequence[str] = (),
  ) -> None:
    """Checks and keeps the arrays.

    Args:
      name: name of the data set.
      arrays: 'image' uint8 `[N, H, W, C]`, optional 'label' integer `[N]`,
        optional 'attribute' integer `[N, A]`.
      classes: names of the labels; () leaves the labels unchecked.
      captions: one sentence per example, or none at all.

    Raises:
      DataError: on a wrong dtype, rank, number of channels, unequal lengths,
        or a label out of range.
    """
    check_images(name, arrays["image"])
    counts = {key: len(value) for key, value in arrays.items()}
    if captions:
      counts["captions"] = len(captions)
    if len(set(counts.values())) > 1:
      raise DataError(f"{name}: unequal numbers of examples: {counts}")
    if "label" in arrays and classes:
      check_labels(name, arrays["label"], len(classes))
    self.name = name
    self.classes = tuple(classes)
    height, width, channels = arrays["image"].shape[1:]
    self.image_shape = (int(height), int(width), int(channels))
    self._arrays = {
      key: value if key == "image" else value.astype(np.int32)
      for key, value in arrays.items()
    }
    self._captions = tuple(captions)
    parts = [p for k in sorted(self._arrays) for p in (k, self._arrays[k])]
    self.fingerprint = digest(name, *parts, *self.classes, *self._captions)

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._arrays["image"])

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """The examples at `indices` `[B]`; see `Source.read`."""
    return {key: value[indices] for key, value in self._arrays.items()}

  def captions(self, indices: np.ndarray) -> list[str]:
    """One sentence per index, '' where there is none."""
    if not self._captions:
      return [""] * len(indices)
    return [self._captions[int(i)] for i in indices]
