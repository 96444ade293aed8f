"""Features of a stream of images, and the cache of reference statistics.

Statistics of a reference set are the dear half of a Fréchet distance and never
change: they are kept in a folder (the environment's GENLAT_CACHE, else
`~/.cache/genlat`) under the hash of all that they depend on. A pass that was
interrupted goes on from its last partial result.
"""

import hashlib
import json
import os
import pathlib
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from genlat import files
from genlat.metrics.extractors import Extractor
from genlat.metrics.frechet import Statistics

QUANTISATION = "uint8: floor(255 clip(x, 0, 1) + 1/2)"

_SAVE_EVERY = 2048  # examples between partial results
_ON_CPU, _ELSEWHERE = 8, 128  # images a device takes at a time


def features(
  extractor: Extractor,
  batches: Iterable[np.ndarray],
  *,
  mesh: Mesh | None = None,
  report: Callable[[int], None] | None = None,
) -> Iterator[np.ndarray]:
  """Features of images, in their order.

  Args:
    extractor: the feature network.
    batches: uint8 images `[n, H, W, C]`, any n, one H, W, C.
    mesh: devices of this process that share the rows; None for the first.
    report: is called with the number of images done so far.

  Yields:
    `[m, d]` float32; the m add up to the number of images.
  """
  compute = extractor.compiled(mesh)
  device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
  size = _ON_CPU if device.platform == "cpu" else _ELSEWHERE
  size *= 1 if mesh is None else mesh.size
  done = 0
  waiting: list[tuple[jax.Array, int]] = []
  for chunk in _chunks(batches, size):
    count = len(chunk)
    # One shape for all, so that one compilation serves.
    padding = [(0, size - count)] + [(0, 0)] * 3
    images = extractor.on_host(np.pad(chunk, padding))
    waiting.append((compute(extractor.params, images), count))
    # The device computes while the host resizes the next chunk.
    if len(waiting) > 1:
      rows, count = waiting.pop(0)
      yield np.asarray(rows)[:count]
      done += count
      if report:
        report(done)
  for rows, count in waiting:
    yield np.asarray(rows)[:count]
    if report:
      report(done + count)


def extract(
  extractor: Extractor,
  batches: Iterable[np.ndarray],
  *,
  mesh: Mesh | None = None,
  report: Callable[[int], None] | None = None,
) -> np.ndarray:
  """All features of a stream of images: `[N, d]`; arguments of `features`."""
  parts = list(features(extractor, batches, mesh=mesh, report=report))
  return np.concatenate(parts or [np.zeros((0, extractor.dim), np.float32)])


def statistics(
  extractor: Extractor,
  batches: Iterable[np.ndarray],
  *,
  mesh: Mesh | None = None,
  report: Callable[[int], None] | None = None,
  key: Mapping[str, str | int] | None = None,
) -> Statistics:
  """Statistics of the features of images; arguments of `features`.

  Args:
    extractor: the feature network.
    batches: uint8 images; the same in the same order for the same key.
    mesh: devices of this process.
    report: is called with the number of images done so far.
    key: what the images depend on, such as the data's fingerprint, split
      and count; the extractor's part is added. None keeps nothing on disk.

  Raises:
    OSError: if the cache cannot be written.
  """
  slot = None if key is None else Slot.of(extractor, key)
  total = slot.read() if slot else None
  if total is not None:
    return total
  total = slot.read_partial() if slot else None
  total = total or Statistics.empty(extractor.dim)
  saved = start = total.count
  rest = _skip(batches, start)
  told = report and (lambda done: report(start + done))
  for rows in features(extractor, rest, mesh=mesh, report=told):
    total = total.merge(Statistics.of(rows))
    if slot and total.count - saved >= _SAVE_EVERY:
      slot.write_partial(total)
      saved = total.count
  if slot:
    slot.write(total)
  return total


class Slot:
  """One place of the cache, with a partial result beside it."""

  def __init__(self, folder: pathlib.Path, key: Mapping[str, str | int]):
    """Of a key, in a folder."""
    self.text = json.dumps(dict(key), sort_keys=True)
    name = hashlib.sha256(self.text.encode()).hexdigest()[:32]
    self.path = folder / f"{name}.npz"
    self.partial = folder / f"{name}.partial.npz"

  @classmethod
  def of(cls, extractor: Extractor, key: Mapping[str, str | int]) -> "Slot":
    """Of a set of images as an extractor sees them."""
    return cls(
      cache_folder() / "statistics",
      {
        **key,
        "network": extractor.network,
        "sha256": extractor.sha256,
        "resize": extractor.resize,
        "quantisation": QUANTISATION,
      },
    )

  def read(self) -> Statistics | None:
    """What was written, or None where it is missing or damaged."""
    return self._read(self.path)

  def read_partial(self) -> Statistics | None:
    """The last partial result, or None."""
    return self._read(self.partial)

  def write(self, statistics: Statistics) -> None:
    """Writes the result, atomically, and drops the partial one."""
    self._write(self.path, statistics)
    self.partial.unlink(missing_ok=True)

  def write_partial(self, statistics: Statistics) -> None:
    """Writes a partial result, atomically."""
    self._write(self.partial, statistics)

  def _read(self, path: pathlib.Path) -> Statistics | None:
    try:
      # NumPy leaves a file open that it cannot read.
      with open(path, "rb") as file, np.load(file) as archive:
        if str(archive["key"]) != self.text:
          return None
        count = int(archive["count"])
        return Statistics(count, archive["mean"], archive["scatter"])
    except FileNotFoundError:
      return None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
      print(f"{path} is damaged: computed anew", file=sys.stderr, flush=True)
      return None

  def _write(self, path: pathlib.Path, statistics: Statistics) -> None:
    with files.whole(path) as draft, open(draft, "wb") as file:
      np.savez(
        file,
        key=np.array(self.text),
        count=np.array(statistics.count),
        mean=statistics.mean,
        scatter=statistics.scatter,
      )


def cache_folder() -> pathlib.Path:
  """GENLAT_CACHE, or `~/.cache/genlat`."""
  folder = os.environ.get("GENLAT_CACHE", "")
  if folder:
    return pathlib.Path(folder)
  return pathlib.Path.home() / ".cache" / "genlat"


def _chunks(batches: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
  """The same images in chunks of `size`; the last may be smaller."""
  held: list[np.ndarray] = []
  count = 0
  for batch in batches:
    held.append(batch)
    count += len(batch)
    if count < size:
      continue
    images = np.concatenate(held)
    whole = count - count % size
    yield from (images[i : i + size] for i in range(0, whole, size))
    held, count = [images[whole:]], count - whole
  if count:
    yield np.concatenate(held)


def _skip(batches: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
  """The same images without the first `count`."""
  for batch in batches:
    yield batch[count:]
    count = max(count - len(batch), 0)
