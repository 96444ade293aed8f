"""Feature networks with the protocol that belongs to them.

An extractor is what a score's card has to name: the network and the hash of
its weights, the depth that is read, and the rule by which images are resized.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from genlat import sharding, weights
from genlat.metrics import resize as resizing
from genlat.nets import inception, random_features

RANDOM = "random"  # in place of a weight file: for smoke runs
PyTree = Any
Network = Callable[[PyTree, jax.Array, int], jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Extractor:
  """A feature network and the way images get into it.

  Attributes:
    network: name of the network, with the number of features.
    sha256: of its weights.
    resize: one of `resize.RESIZES`.
    size: side of the network's input, pixels.
    dim: number of features d.
    params: the weights.
    apply: maps weights, images `[B, size, size, 3]` in [-1, 1] and d to
      `[B, d]`.
  """

  network: str
  sha256: str
  resize: str
  size: int
  dim: int
  params: PyTree
  apply: Network

  def __post_init__(self) -> None:
    """Raises ValueError for an unknown resize."""
    if self.resize not in resizing.RESIZES:
      raise ValueError(
        f"expected a resize of {', '.join(resizing.RESIZES)};"
        f" got {self.resize!r}"
      )

  def on_host(self, images: np.ndarray) -> np.ndarray:
    """The part of the resizing that runs before the transfer.

    Args:
      images: uint8 `[B, H, W, C]` with 1 or 3 channels.

    Raises:
      ValueError: for images of another type or shape.
    """
    if (
      images.dtype != np.uint8
      or images.ndim != 4
      or images.shape[-1] not in (1, 3)
    ):
      raise ValueError(
        "features are taken of uint8 images [B, H, W, 1 or 3]; got"
        f" {images.dtype} {list(images.shape)}"
      )
    if self.resize == "clean":
      return resizing.clean(images, self.size)
    return images

  def compiled(self, mesh: Mesh | None) -> Callable[..., jax.Array]:
    """The device's part: weights and `on_host` images to `[B, d]`."""
    return _compiled(self.apply, self.resize, self.size, self.dim, mesh)


def inception_extractor(
  path: str | os.PathLike[str],
  resize: str = "tf1",
  sha256: str = "",
  dim: int = 2048,
) -> Extractor:
  """InceptionV3 of the Fréchet distance.

  Args:
    path: its weights; see `genlat.weights`.
    resize: 'tf1' (papers up to 2020) or 'clean'.
    sha256: hash that the file must have; '' as in `weights.check`.
    dim: number of features; 2048 is the one of the Fréchet distance.

  Raises:
    OSError: if there is no such file.
    ValueError: for another file, resize or number of features.
  """
  if dim not in inception.TAPS:
    raise ValueError(
      f"InceptionV3 has taps of {inception.TAPS} features; got {dim}"
    )
  arrays = weights.load(path, sha256, network="inception")
  return Extractor(
    network=f"inception-2015-12-05/{dim}",
    sha256=weights.sha256(path),
    resize=resize,
    size=inception.SIZE,
    dim=dim,
    params=inception.load_params(arrays),
    apply=inception.features,
  )


def by_weights(path: str, sha256: str = "", resize: str = "tf1") -> Extractor:
  """InceptionV3 of a file, or the random network where that is its name.

  Raises:
    OSError: if there is no such file.
    ValueError: for another file or resize.
  """
  if path == RANDOM:
    return random_extractor(resize)
  return inception_extractor(path, resize, sha256)


def random_extractor(resize: str = "tf1", seed: int = 0) -> Extractor:
  """A tiny random network, for tests and smoke runs."""
  params = random_features.init_params(seed)
  digest = hashlib.sha256()
  for kernel in params:
    digest.update(np.asarray(kernel).tobytes())
  dim = random_features.TAPS[-1]
  return Extractor(
    network=f"random/{dim}",
    sha256=digest.hexdigest(),
    resize=resize,
    size=random_features.SIZE,
    dim=dim,
    params=params,
    apply=random_features.features,
  )


@functools.lru_cache(maxsize=8)
def _compiled(
  apply: Network, resize: str, size: int, dim: int, mesh: Mesh | None
) -> Callable[..., jax.Array]:
  def features(params: PyTree, images: jax.Array) -> jax.Array:
    x = images.astype(jnp.float32)
    x = resizing.tf1(x, size) if resize == "tf1" else x
    x = jnp.broadcast_to(x, (*x.shape[:-1], 3))
    return apply(params, (x - 128) / 128, dim)

  if mesh is None:
    return sharding.compile(features)
  rows = sharding.batch_sharding(mesh)
  return sharding.compile(
    features,
    mesh,
    in_shardings=(sharding.replicated(mesh), rows),
    out_shardings=rows,
  )
