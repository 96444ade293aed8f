"""The compiled functions behind a trained model, and its uint8 images."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from genlat import scans, sharding
from genlat.methods.method import Method
from genlat.state import State


@dataclasses.dataclass(frozen=True)
class Key:
  """A method as a key of the cache: by identity, its fields may not hash.

  Attributes:
    method: the method.
    binary: whether it was trained on binary pixels.
  """

  method: Any
  binary: bool

  def __hash__(self) -> int:
    """By identity."""
    return hash((id(self.method), self.binary))

  def __eq__(self, other: object) -> bool:
    """By identity."""
    return (
      isinstance(other, Key)
      and other.method is self.method
      and other.binary == self.binary
    )


@functools.lru_cache(maxsize=32)
def compiled(
  name: str, key: Key, law: Any, mesh: Mesh, chunk: int
) -> Callable[..., Any]:
  """A compiled function of a model; made once for the same arguments.

  Args:
    name: 'sample', 'sample_of', 'codes_of', 'decode', 'encode', 'draw',
      'assign', 'classify', 'film' or 'film_of'.
    key: the method.
    law: the prior that was fitted after training, or None.
    mesh: the devices, which share the rows.
    chunk: rows of a call, a multiple of the devices.

  Returns:
    A function of the state, then of what its name asks for.
  """
  method = key.method

  def inputs(images: jax.Array) -> jax.Array:
    # A model of binary pixels is given the likelier value of each.
    scaled = images.astype(jnp.float32) / 255.0
    return jnp.round(scaled) if key.binary else scaled

  def sample(state: State, prior: Any, rng: jax.Array) -> jax.Array:
    if law is None:
      return to_uint8(method.sample(state, rng, chunk))
    codes = sharding.split_rows(law.sample(prior, rng, chunk))
    return to_uint8(method.decode(state, codes))

  def sample_of(state: State, labels: jax.Array, rng: jax.Array) -> jax.Array:
    rows = sharding.split_rows(labels)
    return to_uint8(method.sample(state, rng, chunk, rows))

  def codes_of(state: State, labels: jax.Array, rng: jax.Array) -> Any:
    rows = sharding.split_rows(labels)
    return method.sample_codes(state, rng, chunk, rows)

  def decode(state: State, codes: jax.Array) -> jax.Array:
    return to_uint8(method.decode(state, sharding.split_rows(codes)))

  def encode(state: State, images: jax.Array) -> Any:
    return method.encode(state, inputs(sharding.split_rows(images)))

  def draw(state: State, images: jax.Array, rng: jax.Array) -> Any:
    return method.encode(state, inputs(sharding.split_rows(images)), rng)

  def film(state: State, rng: jax.Array) -> Any:
    return shown(method.film(state, rng, chunk))

  def film_of(state: State, images: jax.Array, rng: jax.Array) -> Any:
    rows = inputs(sharding.split_rows(images))
    return shown(method.film(state, rng, chunk, rows))

  def shown(film: Any) -> Any:
    return film._replace(canvas=to_uint8(film.canvas))

  def assign(state: State, images: jax.Array) -> jax.Array:
    return method.assign(state, inputs(sharding.split_rows(images)))

  def classify(state: State, images: jax.Array) -> jax.Array:
    return method.classify(state, inputs(sharding.split_rows(images)))

  functions = {
    "sample": sample,
    "sample_of": sample_of,
    "codes_of": codes_of,
    "assign": assign,
    "classify": classify,
    "decode": decode,
    "encode": encode,
    "draw": draw,
    "film": film,
    "film_of": film_of,
  }
  return sharding.compile(
    functions[name], mesh, out_shardings=sharding.replicated(mesh)
  )


def to_uint8(images: jax.Array) -> jax.Array:
  """floor(255 clip(x, 0, 1) + 1/2), the one quantisation of all scores."""
  return jnp.floor(255.0 * jnp.clip(images, 0.0, 1.0) + 0.5).astype(jnp.uint8)


def to_host(array: jax.Array) -> np.ndarray:
  """A replicated array as numpy, on any process."""
  return np.asarray(array.addressable_data(0))


def make_mesh(fsdp: int) -> Mesh:
  """A mesh over all devices, `fsdp` of them a copy; scans are told of it."""
  mesh = sharding.make_mesh(fsdp)
  scans.use_platform(mesh.devices.flat[0].platform)
  return mesh


def abstract_state(
  method: Method, image_shape: tuple[int, int, int], mesh: Mesh
) -> State:
  """Shapes, dtypes and shardings of the method's state; nothing is run."""
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  shapes = jax.eval_shape(method.init, jax.random.key(0), {"image": images})
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    sharding.state_sharding(shapes, mesh),
  )
