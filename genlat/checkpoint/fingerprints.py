"""Names, forms and fingerprints of the leaves of a tree.

A fingerprint is a sum modulo 2**32 of a leaf's words, each times an odd
multiplier of its position (2654435761 = Knuth's golden-ratio constant, TAOCP
vol. 3, section 6.4). A multiple of an odd number by a power of two is never 0,
so one flipped bit always changes it; and a sum does not depend on the mesh that
holds the leaf.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genlat import sharding

PyTree = Any

_MULTIPLIER = 2654435761


def named_leaves(tree: PyTree) -> dict[str, Any]:
  """The leaves of a tree by path, such as 'params/encoder/Conv_0/kernel'."""
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in flat
  }


def form(leaf: Any) -> str:
  """Dtype and shape of an array or its abstract value: 'float32[8,4]'."""
  return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def fingerprints(tree: PyTree) -> dict[str, int]:
  """The fingerprint of every leaf, computed where the leaf is.

  Args:
    tree: arrays of any dtype of whole bytes, typed random keys included.

  Returns:
    By path, a number in [0, 2**32).
  """
  leaves = named_leaves(tree)
  if not leaves:
    return {}
  found = np.asarray(_COMPUTE(list(leaves.values())))
  return {name: int(x) for name, x in zip(leaves, found, strict=True)}


def _fingerprint(x: jax.Array) -> jax.Array:
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  if jnp.issubdtype(x.dtype, jnp.complexfloating):
    x = jnp.stack([x.real, x.imag], axis=-1)
  if x.dtype == jnp.bool_:
    x = x.astype(jnp.uint8)
  word = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
  words = lax.bitcast_convert_type(x, word).astype(jnp.uint32)
  # The position is a sum over axes: a reshape would gather a split leaf.
  position, stride = jnp.zeros(words.shape, jnp.uint32), 1
  for axis in reversed(range(words.ndim)):
    step = lax.broadcasted_iota(jnp.uint32, words.shape, axis)
    position += step * np.uint32(stride % 2**32)
    stride *= words.shape[axis]
  return jnp.sum(
    words * (position * np.uint32(_MULTIPLIER) | np.uint32(1)),
    dtype=jnp.uint32,
  )


_COMPUTE = sharding.compile(
  lambda leaves: jnp.stack([_fingerprint(leaf) for leaf in leaves])
)
