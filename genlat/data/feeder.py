"""How examples reach a compiled train step: two feeders, one interface.

The resident feeder keeps the whole uint8 set on every device and gathers the
rows of a step inside the compiled program. The streaming feeder reads the
rows of a step with Grain's threads, each process its own, and moves them to
the devices one call ahead. Both give the same batches, for any number of
devices and processes: see `genlat.data.order`. The loop does

    feed = feeder.feed(step, calls)               # on the host
    batch = feeder.batch(feed, state.step, i)     # i-th step, inside jit
"""

from collections.abc import Iterator
from concurrent import futures
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from genlat import sharding
from genlat.data import order
from genlat.data.source import Source

PyTree = Any
Batch = dict[str, jax.Array]

KINDS = ("auto", "resident", "streaming")

_READ_AT_ONCE = 4096  # Examples: bounds the copies that decoding makes.


class Feeder(Protocol):
  """Gives the batch of any train step.

  Attributes:
    kind: 'resident' or 'streaming'.
    steps_per_epoch: whole batches in the data.
  """

  kind: str
  steps_per_epoch: int

  def feed(self, step: int, calls: int = 1) -> PyTree:
    """What the compiled function is given for steps step ... step + calls - 1.

    It is an argument, never a constant of the program, and not to be donated.
    An error in a reading thread is raised here, unchanged.
    """
    ...

  def batch(self, feed: PyTree, step: jax.Array, i: int | jax.Array) -> Batch:
    """The batch of one step of a feed; pure, for use inside jit.

    Args:
      feed: what `feed` gave.
      step: `[]` int32, train steps done before; may be traced.
      i: how many steps of this feed went before; may be traced.

    Returns:
      'image' `[B, H, W, C]` uint8, 'index' `[B]` int32 and what else the
      source has, rows split over the devices.
    """
    ...

  def close(self) -> None:
    """Ends threads and lets go of memory."""
    ...


def make_feeder(
  source: Source,
  mesh: Mesh,
  *,
  kind: str,
  batch_size: int,
  seed: int,
  steps_per_call: int,
  resident_limit_gib: float,
  threads: int,
  prefetch: int,
) -> Feeder:
  """The feeder that a config asks for.

  Args:
    source: the examples; its `read` is called by several threads.
    mesh: all devices of all processes.
    kind: 'resident', 'streaming', or 'auto': resident where the images fit.
    batch_size: rows of the global batch.
    seed: of the order of examples.
    steps_per_call: the most steps a feed is asked for.
    resident_limit_gib: GiB of each device that 'auto' may fill with data.
    threads: that read batches; 0 reads one at a time (streaming only).
    prefetch: batches read ahead (streaming only); at least one call's.

  Raises:
    ValueError: if an argument is out of range for the data or the mesh.
  """
  if kind not in KINDS:
    raise ValueError(
      f"config.data.feeder must be one of {', '.join(KINDS)}; got {kind!r}"
    )
  order.steps_per_epoch(len(source), batch_size)
  sharding.check_batch(batch_size, mesh)
  if kind == "auto":
    example = source.read(np.arange(1))  # with labels and captions
    size = len(source) * sum(value.nbytes for value in example.values())
    fits = size <= resident_limit_gib * 2**30
    kind = "resident" if fits else "streaming"
  if kind == "resident":
    return Resident(source, mesh, batch_size, seed)
  if threads < 0 or prefetch < 1:
    raise ValueError(
      "config.data.threads must be at least 0 and config.data.prefetch at"
      f" least 1; got {threads} and {prefetch}"
    )
  ahead = max(prefetch, steps_per_call)
  return Streaming(source, mesh, batch_size, seed, threads, ahead)


class Resident:
  """The whole set on every device; a step gathers its rows."""

  kind = "resident"

  def __init__(
    self, source: Source, mesh: Mesh, batch_size: int, seed: int
  ) -> None:
    """Reads the whole source, in each process, and replicates it."""
    self.steps_per_epoch = order.steps_per_epoch(len(source), batch_size)
    self._order = {"seed": seed, "n": len(source), "batch_size": batch_size}
    self._arrays: PyTree = sharding.to_every_device(_read_all(source), mesh)

  def feed(self, step: int, calls: int = 1) -> PyTree:
    """The whole set: the same arrays at each call."""
    return self._arrays

  def batch(self, feed: PyTree, step: jax.Array, i: int | jax.Array) -> Batch:
    """Gathers the rows of `step`; `i` plays no part."""
    rows = order.rows(step, **self._order, xp=jnp)
    take = lambda x: x.at[rows].get(
      mode="promise_in_bounds", wrap_negative_indices=False
    )
    return sharding.split_rows({**jax.tree.map(take, feed), "index": rows})

  def close(self) -> None:
    """Lets go of the arrays."""
    self._arrays = None


class Streaming:
  """Grain reads the rows of each step; transfers run one call ahead."""

  kind = "streaming"

  def __init__(
    self,
    source: Source,
    mesh: Mesh,
    batch_size: int,
    seed: int,
    threads: int,
    prefetch: int,
  ) -> None:
    """Starts no reading yet; arguments as in `make_feeder`."""
    import grain

    self.steps_per_epoch = order.steps_per_epoch(len(source), batch_size)
    self._mesh = mesh
    self._iterator: Any = iter(
      grain.MapDataset.source(
        _LocalBatches(source, mesh, batch_size, seed)
      ).to_iter_dataset(grain.ReadOptions(threads, prefetch))
    )
    self._next = 0  # The step the iterator is at; -1 when that is unknown.
    # A single thread, so that the iterator has one user.
    self._pool = futures.ThreadPoolExecutor(1, "genlat-transfer")
    self._ahead: tuple[Any, futures.Future[PyTree]] | None = None

  def feed(self, step: int, calls: int = 1) -> PyTree:
    """Batches of `calls` steps, stacked; starts on those that follow.

    Asking for other steps than those that follow restarts the reading there.
    """
    ahead, self._ahead = self._ahead, None
    if ahead is not None and ahead[0] != (step, calls):
      ahead[1].cancel()
      ahead = None
    feed = (ahead or self._start(step, calls))[1].result()
    self._ahead = self._start(step + calls, calls)
    return feed

  def batch(self, feed: PyTree, step: jax.Array, i: int | jax.Array) -> Batch:
    """Takes the `i`-th batch of a feed; `step` plays no part."""
    take = lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False)
    return sharding.split_rows(jax.tree.map(take, feed))

  def close(self) -> None:
    """Ends the threads; waits for a read that is under way."""
    self._pool.shutdown(wait=True, cancel_futures=True)
    self._iterator.close()
    self._ahead = None

  def _start(self, *wanted: int) -> tuple[Any, futures.Future[PyTree]]:
    return wanted, self._pool.submit(self._load, *wanted)

  def _load(self, step: int, calls: int) -> PyTree:
    if step != self._next:
      self._iterator.set_state({"next_index": step})
    self._next = -1  # An error below leaves the iterator anywhere.
    batches = [next(self._iterator) for _ in range(calls)]
    self._next = step + calls
    rows = jax.tree.map(lambda *parts: np.stack(parts), *batches)
    return sharding.to_global(rows, self._mesh, leading=1)


class _LocalBatches:
  """Item s, for Grain: this process's rows of the batch of step s."""

  def __init__(
    self, source: Source, mesh: Mesh, batch_size: int, seed: int
  ) -> None:
    self._source = source
    self._order = {"seed": seed, "n": len(source), "batch_size": batch_size}
    self._here = _rows_here(batch_size, mesh)

  def __len__(self) -> int:
    return 2**31 - 1  # Steps are int32; the loop says when to end.

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    indices = order.rows(index, **self._order)[self._here]
    return {**self._source.read(indices), "index": indices}


def eval_batches(
  source: Source, batch_size: int, mesh: Mesh, *, limit: int = 0
) -> Iterator[tuple[Batch, jax.Array]]:
  """Goes through a source once, in its order, each example counted once.

  Args:
    source: the examples.
    batch_size: rows of the global batch.
    mesh: all devices of all processes.
    limit: number of examples to stop after; 0 = all.

  Returns:
    Pairs of a batch as `Feeder.batch` gives it and a mask `[B]` float32, 0
    in the copies of the last example that fill up the last batch.

  Raises:
    ValueError: if an argument is out of range for the data or the mesh.
  """
  sharding.check_batch(batch_size, mesh)
  if limit < 0 or not len(source):
    raise ValueError(
      "evaluation needs a limit of at least 0 (0 = all) and at least one"
      f" example; got {limit} and {len(source)}"
    )
  count = min(limit or len(source), len(source))
  return _eval_batches(source, batch_size, mesh, count)


def _eval_batches(
  source: Source, batch_size: int, mesh: Mesh, count: int
) -> Iterator[tuple[Batch, jax.Array]]:
  here = _rows_here(batch_size, mesh)
  for start in range(0, count, batch_size):
    positions = (start + here).astype(np.int32)
    indices = np.minimum(positions, np.int32(count - 1))
    rows = {**source.read(indices), "index": indices}
    mask = (positions < count).astype(np.float32)
    yield sharding.to_global((rows, mask), mesh)


def _rows_here(batch_size: int, mesh: Mesh) -> np.ndarray:
  """Rows of the global batch that live on this process's devices, sorted.

  The mesh decides: its devices need not come process by process.
  """
  layout = sharding.batch_sharding(mesh)
  pieces = layout.addressable_devices_indices_map((batch_size,)).values()
  rows = np.arange(batch_size)
  return np.unique(np.concatenate([rows[piece] for piece in pieces if piece]))


def _read_all(source: Source) -> dict[str, np.ndarray]:
  """The whole source, read in parts."""
  whole: dict[str, np.ndarray] = {}
  for start in range(0, len(source), _READ_AT_ONCE):
    stop = min(start + _READ_AT_ONCE, len(source))
    part = source.read(np.arange(start, stop))
    for name, values in part.items():
      if name not in whole:
        shape = (len(source), *values.shape[1:])
        whole[name] = np.empty(shape, values.dtype)
      whole[name][start:stop] = values
  return whole
