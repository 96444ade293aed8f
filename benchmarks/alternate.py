"""Alternating timing of rivals in one process, with quiet rounds only.

Every rival runs one block of steps a round; the order is reversed from round
to round, so that drift of the machine falls on all alike, and only ratios of
blocks of the same round are quoted. Other programs slow the rivals unequally:
rounds in which other processes used more than `--others` cores are thrown
away and run again.
"""

import argparse
import dataclasses
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata

import psutil

TRIES = 6  # rounds run at most, as a multiple of those asked for


@dataclasses.dataclass(frozen=True)
class Rival:
  """One way to do the work.

  Attributes:
    name: as the table shows it.
    run: does `steps` steps; they are finished when it returns.
    steps: number of steps a call makes.
  """

  name: str
  run: Callable[[], None]
  steps: int


@dataclasses.dataclass(frozen=True)
class Timing:
  """What was measured of a rival.

  Attributes:
    name: of the rival.
    seconds: per step, one value a quiet round.
  """

  name: str
  seconds: tuple[float, ...]

  @property
  def median(self) -> float:
    """Seconds per step."""
    return statistics.median(self.seconds)

  def ratios(self, other: "Timing") -> list[float]:
    """How many times faster this is than `other`, round by round."""
    pairs = zip(self.seconds, other.seconds, strict=True)
    return [theirs / ours for ours, theirs in pairs]


def arguments(description: str | None) -> argparse.ArgumentParser:
  """The flags that every benchmark takes."""
  parser = argparse.ArgumentParser(
    description=description,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "--rounds", type=int, default=7, help="quiet rounds, at least 5 to quote"
  )
  parser.add_argument(
    "--seconds", type=float, default=3.0, help="length of a block"
  )
  parser.add_argument(
    "--others", type=float, default=0.25, help="cores others may use in a round"
  )
  return parser


def measure(rivals: Sequence[Rival], args: argparse.Namespace) -> list[Timing]:
  """Times the rivals as the module says.

  Args:
    rivals: at least one.
    args: parsed `arguments`.

  Raises:
    SystemExit: if no round was quiet.
  """
  calls = [_calibrate(rival, args.seconds) for rival in rivals]
  order = list(range(len(rivals)))
  kept: list[list[float]] = []
  for number in range(TRIES * args.rounds):
    if len(kept) == args.rounds:
      break
    clock = Clock()
    spent = dict.fromkeys(order, 0.0)
    for which in order if number % 2 == 0 else reversed(order):
      spent[which] = _block(rivals[which], calls[which])
    others = clock.others()
    if others <= args.others:
      kept.append([spent[which] for which in order])
    else:
      print(f"round {number}: others used {others:.2f} cores, thrown away")
  if not kept:
    raise SystemExit(
      f"no round was quiet: other processes used more than {args.others}"
      " cores each time; stop them, or raise --others"
    )
  print(f"{len(kept)} quiet rounds of {args.rounds} asked for")
  columns = zip(*kept, strict=True)
  return [
    Timing(rival.name, tuple(column))
    for rival, column in zip(rivals, columns, strict=True)
  ]


class Clock:
  """Processor time since its making that other processes used."""

  def __init__(self) -> None:
    """Starts the clock."""
    self._wall = time.perf_counter()
    self._start = _elsewhere()

  def others(self) -> float:
    """Cores in use by other processes, on average."""
    wall = time.perf_counter() - self._wall
    return max(0.0, _elsewhere() - self._start) / wall


def _elsewhere() -> float:
  """Seconds of all cores' work less this process's own."""
  idle = ("idle", "iowait", "guest", "guest_nice")
  cores = psutil.cpu_times()._asdict()
  own = psutil.Process().cpu_times()
  busy = sum(value for name, value in cores.items() if name not in idle)
  return busy - sum(own[:4])


def _block(rival: Rival, calls: int) -> float:
  """Seconds per step."""
  start = time.perf_counter()
  for _ in range(calls):
    rival.run()
  return (time.perf_counter() - start) / (calls * rival.steps)


def _calibrate(rival: Rival, seconds: float) -> int:
  """Compiles, warms up, and finds the number of calls in a block."""
  for _ in range(2):
    _block(rival, 1)
  return max(1, round(seconds / (_block(rival, 1) * rival.steps)))


def report(title: str, timings: Sequence[Timing], batch: int) -> None:
  """Prints the table: the first timing against each of the others.

  Args:
    title: what was measured.
    timings: of `measure`; the first is genlat's.
    batch: examples per step.
  """
  print(f"\n{title}\n{machine()}\n")
  print(f"{'':28}{'ms/step':>10}{'examples/s':>12}{'genlat is':>12}  min-max")
  for timing in timings:
    ratios = timings[0].ratios(timing)
    against = f"{statistics.median(ratios):11.2f}x"
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    print(
      f"{timing.name:28}{1e3 * timing.median:10.3f}"
      f"{batch / timing.median:12.0f}{against}  {spread}"
    )


def machine() -> str:
  """Processor, libraries and commit, for the table."""
  names = ("genlat", "jax", "flax", "torch")
  versions = [f"{name} {_version(name)}" for name in names]
  pinned = getattr(os, "sched_getaffinity", None)
  count = len(pinned(0)) if pinned else os.cpu_count()
  return f"{_processor()}, {count} cores; {', '.join(versions)}; {_commit()}"


def _version(name: str) -> str:
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return "not installed"


def _processor() -> str:
  try:
    with open("/proc/cpuinfo") as lines:
      for line in lines:
        if line.startswith("model name"):
          return line.partition(":")[2].strip()
  except OSError:
    pass
  return platform.processor() or sys.platform


def _commit() -> str:
  try:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return "commit unknown"
  return f"commit {found.stdout.strip()}"
