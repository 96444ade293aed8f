"""Names, forms and fingerprints of the leaves of a tree.

A fingerprint is the sum modulo 2**32 of a leaf's words, each times an odd
multiplier of its position (2654435761 = Knuth's golden-ratio constant, TAOCP
vol. 3, section 6.4). A power of two times an odd number is never 0, so one
flipped bit always changes it; and a sum does not depend on the mesh that holds
the leaf. It is taken on the host, from the copy that Orbax writes as well: a
program for the devices would have to be compiled for every shape, which takes
longer than all the sums.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

PyTree = Any

_MULTIPLIER = np.uint32(2654435761)


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
  """The fingerprint of every leaf; all processes must ask together.

  Args:
    tree: arrays of any dtype, typed random keys included.

  Returns:
    By path, a number in [0, 2**32).
  """
  leaves = {
    name: jax.random.key_data(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    else leaf
    for name, leaf in named_leaves(tree).items()
  }
  for leaf in leaves.values():
    for _, part in _parts(leaf):
      if isinstance(part, jax.Array):
        part.copy_to_host_async()
  sums = np.array([_sum(leaf) for leaf in leaves.values()], np.uint32)
  if jax.process_count() > 1:
    of_all = np.asarray(multihost_utils.process_allgather(sums))
    sums = of_all.sum(axis=0, dtype=np.uint32)
  return {name: int(x) for name, x in zip(leaves, sums, strict=True)}


def _parts(leaf: Any) -> list[tuple[tuple[slice, ...], Any]]:
  """What this process counts of a leaf, and where it lies; each part once."""
  if not isinstance(leaf, jax.Array) or leaf.is_fully_replicated:
    if jax.process_index():
      return []
    part = leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf
    return [((slice(None),) * leaf.ndim, part)]
  return [
    (shard.index, shard.data)
    for shard in leaf.addressable_shards
    if shard.replica_id == 0
  ]


def _sum(leaf: Any) -> int:
  total = 0
  for where, part in _parts(leaf):
    values = np.ascontiguousarray(part)  # a scalar becomes [1]
    word = np.dtype(f"uint{8 * min(values.itemsize, 4)}")
    words = values[..., None].view(word)
    shape = (*leaf.shape, words.shape[-1])
    # Positions in the whole leaf, modulo 2**32 like all that follows.
    position, stride = np.zeros((), np.uint32), 1
    for axis in reversed(range(len(shape))):
      start = where[axis].start or 0 if axis < len(where) else 0
      steps = np.arange(start, start + words.shape[axis], dtype=np.uint64)
      steps = (steps * np.uint64(stride)).astype(np.uint32)
      position = position + steps.reshape(-1, *[1] * (len(shape) - axis - 1))
      stride *= shape[axis]
    product = words * (position * _MULTIPLIER | np.uint32(1))
    total += int(np.sum(product, dtype=np.uint32))
  return total % 2**32
