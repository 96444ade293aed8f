"""Images a second of the GLF steps, and what the data costs of each.

  python -m benchmarks.throughput
  python -m benchmarks.throughput --calls=1,8     # on a GPU or TPU
  python -m benchmarks.throughput --mnist=FOLDER --faces=FOLDER_OR_ZIP

The networks and batches of configs/glf_mnist.py and configs/glf_celeba.py. The
feeders take turns with one fixed batch that lies on the device; the share of a
step that the data costs is what is left out there. Without paths the images
are random ones in memory; with `--faces` the streaming feeder decodes files.
Needs `pip install psutil`.
"""

import argparse
import dataclasses
import statistics
from typing import Any

import jax
from ml_collections import ConfigDict

from benchmarks import alternate, genlat_rivals
from benchmarks.alternate import Rival, Timing
from configs import glf_celeba, glf_mnist
from genlat import data, scans
from genlat.data.feeder import Batch, Feeder
from genlat.data.source import Source
from genlat.run import Run

FEEDERS = ("resident", "streaming")


class Fixed:
  """One batch, on the device, at every step."""

  kind = "fixed"

  def __init__(self, run: Run) -> None:
    """Takes the first batch of the run's own feeder."""
    self.steps_per_epoch = run.feeder.steps_per_epoch
    feed = run.feeder.feed(0, 1)
    first = jax.numpy.zeros((), jax.numpy.int32)
    self._batch = run.feeder.batch(feed, first, 0)

  def feed(self, step: int, calls: int = 1) -> Any:
    """The batch."""
    del step, calls
    return self._batch

  def batch(self, feed: Any, step: jax.Array, i: int | jax.Array) -> Batch:
    """The same batch for every step and `i`."""
    del step, i
    return feed

  def close(self) -> None:
    """Nothing runs that could be ended."""


def runs(config: ConfigDict, source: Source) -> dict[str, Run]:
  """A run per feeder, the fixed batch first."""
  made: dict[str, Run] = {}
  for kind in FEEDERS:
    config.data.feeder = kind
    made[kind] = genlat_rivals.make_run(config, source)
  fixed: Feeder = Fixed(made["resident"])
  return {
    "fixed batch": dataclasses.replace(made["resident"], feeder=fixed),
    **made,
  }


def settings(name: str, args: argparse.Namespace) -> tuple[ConfigDict, Source]:
  """Configuration and train split of a row."""
  module, path = {
    "GLF-MNIST": (glf_mnist, args.mnist),
    "GLF-CelebA-64": (glf_celeba, args.faces),
  }[name]
  config = module.get_config().unlock()
  config.batch_size = args.batch or config.batch_size
  if not path:
    faces = module is glf_celeba
    shape, count = ((64, 64, 3), 4096) if faces else ((28, 28, 1), 60000)
    return config, genlat_rivals.random_source(count, shape)
  config.data.path = path
  if module is glf_celeba:
    config.data.name, config.data.crop = "folder", 0
  return config, data.load(config.data, "train")


def report(title: str, timings: list[Timing], batch: int) -> None:
  """Prints images a second and the data's share of each step."""
  print(f"\n{title}\n{alternate.machine()}, {jax.devices()[0].device_kind}\n")
  print(f"{'':14}{'ms/step':>10}{'images/s':>10}{'data':>8}  min to max")
  for timing in timings:
    shares = [100 * (1 - 1 / x) for x in timings[0].ratios(timing)]
    print(
      f"{timing.name:14}{1e3 * timing.median:10.3f}"
      f"{batch / timing.median:10.0f}{statistics.median(shares):7.1f}%"
      f"  {min(shares):.1f} to {max(shares):.1f}%"
    )


def main() -> None:
  """Prints a table per network and number of steps a dispatch."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--mnist", default="", help="folder of the idx files")
  parser.add_argument("--faces", default="", help="folder or zip of faces")
  parser.add_argument("--calls", default="1", help="steps a dispatch, by comma")
  parser.add_argument("--batch", type=int, default=0, help="0 = the config's")
  parser.add_argument("--steps", type=int, default=8, help="steps a call")
  args = parser.parse_args()
  for name in ("GLF-MNIST", "GLF-CelebA-64"):
    config, source = settings(name, args)
    for calls in map(int, args.calls.split(",")):
      config.steps_per_call = calls
      made = runs(config, source)
      if calls > 1 and not scans.rolled(made["resident"].convolutional):
        print(f"{name}: {calls} steps a dispatch are not used on this platform")
        continue
      rivals: list[Rival] = [
        genlat_rivals.rival(kind, run, args.steps) for kind, run in made.items()
      ]
      timings = alternate.measure(rivals, args)
      title = f"{name}, batch {config.batch_size}, {calls} steps a dispatch"
      report(title, timings, config.batch_size)
      for run in made.values():
        run.feeder.close()


if __name__ == "__main__":
  main()
