"""Batches of images in memory: genlat's feeders against PyTorch's DataLoader.

  python -m benchmarks.feeders

60,000 uint8 images of 28x28 with labels, in a fresh random order each epoch,
delivered as float batches in [0, 1]. PyTorch's loader collates example by
example; its faster form indexes the set once a batch. Needs
`pip install torch psutil`.
"""

from collections.abc import Iterator

import jax
import numpy as np

from benchmarks import alternate
from benchmarks.alternate import Rival
from genlat import sharding
from genlat.data import feeder, images
from genlat.data.source import ArraySource

try:
  import torch
  from torch.utils import data as torch_data
except ModuleNotFoundError as error:
  raise SystemExit(
    f"{error}: this benchmark compares with PyTorch; pip install torch"
  ) from error

COUNT = 60_000


def genlat_rival(
  kind: str, pixels: np.ndarray, labels: np.ndarray, batch: int, steps: int
) -> Rival:
  """One of genlat's feeders, a dispatch a step."""
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  made = feeder.make_feeder(
    ArraySource("random", {"image": pixels, "label": labels}, "0123456789"),
    mesh,
    kind=kind,
    batch_size=batch,
    seed=0,
    steps_per_call=1,
    resident_limit_gib=1.0,
    threads=2,
    prefetch=8,
  )
  plain = images.Preparation(
    flip=False, dequantise=False, binarise="none", random_crop=0
  )
  key = jax.random.key(0)

  def one(feed, step):
    return step + 1, plain(made.batch(feed, step, 0), key, train=True)

  compiled = sharding.compile(one, mesh)
  at = 0
  step = sharding.to_every_device(np.int32(0), mesh)

  def run() -> None:
    nonlocal at, step
    for _ in range(steps):
      step, batch = compiled(made.feed(at), step)
      at += 1
      # No more than one step in flight, as a step that used the batch.
      jax.block_until_ready(batch)

  return Rival(f"genlat, {kind}", run, steps)


def torch_rival(
  name: str, loader: "torch_data.DataLoader", steps: int
) -> Rival:
  """A PyTorch loader that is started anew each epoch."""

  def endless() -> Iterator[list["torch.Tensor"]]:
    while True:
      yield from loader

  batches = endless()

  def run() -> None:
    for _ in range(steps):
      pixels, _ = next(batches)
      pixels.float().div_(255)

  return Rival(name, run, steps)


def torch_rivals(
  pixels: np.ndarray, labels: np.ndarray, batch: int, steps: int
) -> list[Rival]:
  """The usual DataLoader, and one that indexes once a batch."""
  channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
  kept = torch_data.TensorDataset(
    torch.from_numpy(channels_first), torch.from_numpy(labels)
  )
  usual = torch_data.DataLoader(kept, batch, shuffle=True, drop_last=True)
  sampler = torch_data.BatchSampler(
    torch_data.RandomSampler(kept), batch, drop_last=True
  )
  at_once = torch_data.DataLoader(kept, batch_size=None, sampler=sampler)
  return [
    torch_rival("PyTorch DataLoader", usual, steps),
    torch_rival("PyTorch, batch sampler", at_once, steps),
  ]


def main() -> None:
  """Prints the table."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--batch", type=int, default=128)
  parser.add_argument("--steps", type=int, default=100, help="steps a call")
  args = parser.parse_args()
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (COUNT, 28, 28, 1), np.uint8)
  labels = rng.integers(0, 10, COUNT).astype(np.int32)
  given = (pixels, labels, args.batch, args.steps)
  rivals = [
    genlat_rival("resident", *given),
    genlat_rival("streaming", *given),
    *torch_rivals(*given),
  ]
  alternate.report(
    f"28x28 images in memory, batch {args.batch}",
    alternate.measure(rivals, args),
    args.batch,
  )


if __name__ == "__main__":
  main()
