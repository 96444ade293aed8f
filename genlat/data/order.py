"""The order of examples: a pure function of (seed, epoch, position).

Each epoch visits the data in the order of a keyed Feistel permutation, so the
rows of the batch of any step follow from the step alone: there is no table to
build, no iterator to save, and a host computes just the rows it reads. NumPy
on a host and `jax.numpy` inside a compiled step give the same integers.

A position p < n is written as the digits (p // b, p % b) of a domain a * b
that is as little above n as two near-equal factors allow. Each round adds, to
one digit in turn, a 32-bit hash of the other one (Luby & Rackoff, "How to
construct pseudorandom permutations", SIAM J. Comput. 1988; for digits of any
base Black & Rogaway, "Ciphers with arbitrary finite domains", 2002). Results
of n and more are sent through again until they fall below n ("cycle walking",
the same paper), which keeps the map a bijection. The mixing function is the
32-bit finaliser of MurmurHash3. It is a good shuffle, not a cipher.
"""

import functools
import math
from typing import Any

import jax
import numpy as np

ROUNDS = 6
_LARGEST = 2**31 - 1

# Odd constants that keep the inputs of the hash for seeds, epochs and rounds
# apart: 2**32 divided by the golden ratio, and two primes of xxHash32.
_SEED, _EPOCH, _ROUND = (
  np.uint32(0x9E3779B1),
  np.uint32(0x85EBCA77),
  np.uint32(0xC2B2AE3D),
)


def steps_per_epoch(n: int, batch_size: int) -> int:
  """Number of whole batches in `n` examples; the remainder is dropped.

  Raises:
    ValueError: if there is not even one whole batch.
  """
  if not 1 <= batch_size <= n:
    raise ValueError(
      f"config.batch_size must be between 1 and the {n} examples of the"
      f" train split; got {batch_size}"
    )
  return n // batch_size


def rows(step: Any, *, seed: int, n: int, batch_size: int, xp: Any = np) -> Any:
  """Positions in the source of the examples of one train step.

  Args:
    step: `[]` train steps done before; traced where `xp` is `jax.numpy`.
    seed: of the order, in [0, 2**32).
    n: number of examples.
    batch_size: rows of the global batch.
    xp: `numpy` or `jax.numpy`.

  Returns:
    `[batch_size]` int32, all different.

  Raises:
    ValueError: if the batch is larger than the set, or seed or n too large.
  """
  steps = steps_per_epoch(n, batch_size)
  step = xp.asarray(step, dtype=np.int32)
  start = (step % np.int32(steps)) * np.int32(batch_size)
  positions = start + xp.arange(batch_size, dtype=np.int32)
  epoch = step // np.int32(steps)
  return permute(positions, seed=seed, epoch=epoch, n=n, xp=xp)


def permute(
  positions: Any, *, seed: int, epoch: Any, n: int, xp: Any = np
) -> Any:
  """The permutation of [0, n) that belongs to a seed and an epoch.

  Args:
    positions: `[...]` integers in [0, n).
    seed: an integer in [0, 2**32).
    epoch: `[]` passes over the data before this one; may be traced.
    n: number of examples, below 2**31.
    xp: `numpy` or `jax.numpy`.

  Returns:
    `[...]` int32.

  Raises:
    ValueError: if `seed` or `n` is out of range.
  """
  if not 0 <= seed < 2**32:
    raise ValueError(f"config.seed must be in [0, 2**32); got {seed}")
  if not 1 <= n <= _LARGEST:
    raise ValueError(f"a data set has 1 to 2**31 - 1 examples; got {n}")
  a, b = _digits(n)
  # Wrapping around is the arithmetic meant; NumPy warns of it for scalars.
  with np.errstate(over="ignore"):
    keys = _round_keys(seed, epoch, xp)
    once = lambda value: _network(value, keys, a, b)
    value = once(xp.asarray(positions).astype(np.uint32))
    if a * b > n:
      value = _walk(once, value, np.uint32(n), xp)
  return value.astype(np.int32)


@functools.lru_cache(maxsize=64)
def _digits(n: int) -> tuple[int, int]:
  """Factors a <= 2 b and b <= 4 a of the smallest domain a * b >= n."""
  root = math.isqrt(n - 1) + 1
  first = min(max(root // 2 + 1, 2), root)
  a = min(range(root, first - 1, -1), key=lambda a: -n % a)
  return a, -(-n // a)


def mix(value: Any) -> Any:
  """The 32-bit finaliser of MurmurHash3: a bijection of uint32."""
  value = value ^ (value >> np.uint32(16))
  value = value * np.uint32(0x85EBCA6B)
  value = value ^ (value >> np.uint32(13))
  value = value * np.uint32(0xC2B2AE35)
  return value ^ (value >> np.uint32(16))


def _round_keys(seed: int, epoch: Any, xp: Any) -> list[Any]:
  """One `[]` uint32 key a round.

  Seed and epoch are hashed apart before they meet: their plain sum would
  make epoch 1 of seed 1 the same as epoch 0 of seed 2.
  """
  epoch = xp.asarray(epoch).astype(np.uint32)
  keys = []
  for index in range(1, ROUNDS + 1):
    salt = np.uint32(index) * _ROUND
    of_seed = mix(mix(np.uint32(seed) + _SEED) + salt)
    keys.append(mix(of_seed ^ mix(epoch * _EPOCH + salt)))
  return keys


def _network(value: Any, keys: list[Any], a: int, b: int) -> Any:
  """A Feistel network over the digits of a mixed-radix number."""
  high, low = value // np.uint32(b), value % np.uint32(b)
  for index, key in enumerate(keys):
    # Each term is below its base, hence below 2**17: sums cannot wrap.
    if index % 2:
      low = (low + mix(high ^ key) % np.uint32(b)) % np.uint32(b)
    else:
      high = (high + mix(low ^ key) % np.uint32(a)) % np.uint32(a)
  return high * np.uint32(b) + low


def _walk(once: Any, value: Any, n: np.uint32, xp: Any) -> Any:
  """Applies the network again wherever the value lies outside of [0, n)."""
  again = lambda value: xp.where(value >= n, once(value), value)
  if xp is not np:
    return jax.lax.while_loop(lambda v: (v >= n).any(), again, value)
  while (value >= n).any():
    value = again(value)
  return value
