"""What each mode of the command line does, and how it fails: in one line."""

import contextlib
import dataclasses
import errno
import os
import pathlib
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ml_collections import ConfigDict

from genlat import watchdog

PACKAGE = pathlib.Path(__file__).parent
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclasses.dataclass(frozen=True)
class Options:
  """Flags of the modes that read a run.

  Attributes:
    checkpoint: 'last', 'best' or a step.
    n: images to make.
    seed: of the draw.
    out: file to write; '' = in the work directory.
    labels: of the samples, by comma; '' = the prior's own.
    copies: whether a film is of images of the data.
    text: captions of the samples; () = of the training data.
  """

  checkpoint: str
  n: int
  seed: int
  out: str
  labels: str = ""
  text: tuple[str, ...] = ()
  copies: bool = False


@dataclasses.dataclass(frozen=True)
class Peers:
  """The processes of a run.

  Attributes:
    coordinator: 'host:port' of process 0; '' = detect.
    processes: how many; 1 = this one alone, 0 = detect.
    process: index of this one.
  """

  coordinator: str
  processes: int
  process: int


Mode = Callable[[ConfigDict, pathlib.Path, Options], None]


def run(
  mode: str,
  config: ConfigDict,
  workdir: pathlib.Path,
  options: Options,
  peers: Peers,
) -> int:
  """Runs a mode.

  Returns:
    The exit status: 0, or 1 after a line on stderr that names the cause.
  """
  # Before JAX makes its CPU client; a host that was given fake devices says
  # so in XLA_FLAGS.
  from genlat import sharding

  fake_devices = _fake_devices(os.environ.get("XLA_FLAGS", ""))
  sharding.raise_nproc(fake_devices, peers.processes)
  sharding.keep_programs()
  several = peers.processes != 1
  try:
    with one_line() as failed:
      if several:
        sharding.start_processes(
          peers.coordinator,
          peers.processes,
          peers.process,
          max(100, round(4 * config.log.watchdog)),
        )
      MODES[mode](config, workdir, options)
    status = int(failed())
  except Exception:
    if not several:
      raise
    traceback.print_exc()
    status = 1
  if status and several:
    watchdog.abandon(status)
  return status


@contextlib.contextmanager
def one_line() -> Iterator[Callable[[], bool]]:
  """Turns genlat's own and the system's errors into one line on stderr.

  Any other error is a bug, and keeps its traceback. Warnings of genlat's own
  kinds are a line, too.
  """
  failures: list[Exception] = []
  show = warnings.showwarning

  def plainly(message: Warning | str, kind: type[Warning], *where: Any) -> None:
    if kind.__module__.partition(".")[0] != PACKAGE.name:
      return show(message, kind, *where)
    text = " ".join(str(message).split())
    return print(f"genlat: warning: {text}", file=sys.stderr, flush=True)

  warnings.showwarning = plainly
  try:
    yield lambda: bool(failures)
  except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
    if watchdog.of_a_peer(error):
      watchdog.leave()
    frames = traceback.extract_tb(error.__traceback__)
    ours = frames and PACKAGE in pathlib.Path(frames[-1].filename).parents
    system = isinstance(error, OSError) and error.errno is not None
    if not (ours or system) or os.environ.get("GENLAT_TRACEBACK"):
      raise
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in FULL:
      text = (
        f"the disk is full ({text}); free some space and give the same command"
        " again: what was saved is kept"
      )
    print(f"genlat: error: {text}", file=sys.stderr, flush=True)
    failures.append(error)
  finally:
    warnings.showwarning = show


def answer(script: Callable[[], None]) -> NoReturn:
  """Runs a script of `experiments` and ends with its status.

  Raises:
    SystemExit: always; 1 after a line on stderr that names the cause.
  """
  with one_line() as failed:
    script()
  raise SystemExit(int(failed()))


def _fake_devices(flags: str) -> int:
  name = "--xla_force_host_platform_device_count="
  counts = [f[len(name) :] for f in flags.split() if f.startswith(name)]
  return int(counts[-1]) if counts else 1


def _train(config: ConfigDict, workdir: pathlib.Path, _: Options) -> None:
  from genlat import train

  train.train(config, workdir)


def _replay(config: ConfigDict, workdir: pathlib.Path, _: Options) -> None:
  from genlat import train

  train.replay(config, workdir)


def _evaluate(
  config: ConfigDict, workdir: pathlib.Path, options: Options
) -> None:
  from genlat import evaluate, loading

  model = loading.load(workdir, options.checkpoint, config=config)
  evaluate.evaluate(model, workdir)


def _fit(config: ConfigDict, workdir: pathlib.Path, options: Options) -> None:
  from genlat import train

  train.fit(config, workdir, options.checkpoint)


def _sample(
  config: ConfigDict, workdir: pathlib.Path, options: Options
) -> None:
  from genlat import loading, sample

  model = loading.load(workdir, options.checkpoint, config=config)
  words = options.labels.split(",") if options.labels else []
  if not all(word.strip().isdigit() for word in words):
    raise ValueError(
      f"--labels must be numbers joined by commas; got {options.labels!r}"
    )
  labels = [int(word) for word in words]
  images = model.sample(options.n, options.seed, labels, options.text)
  sample.write(_target(workdir, options, "samples.png"), images)


def _reconstruct(
  config: ConfigDict, workdir: pathlib.Path, options: Options
) -> None:
  from genlat import loading, sample

  model = loading.load(workdir, options.checkpoint, config=config)
  images = sample.real_images(config, options.n, options.seed)
  out = _target(workdir, options, "reconstructions.png")
  sample.write_pairs(out, images, model.reconstruct(images))


def _interpolate(
  config: ConfigDict, workdir: pathlib.Path, options: Options
) -> None:
  from genlat import loading, sample

  model = loading.load(workdir, options.checkpoint, config=config)
  ends = sample.real_images(config, 2 * options.n, options.seed)
  paths = model.interpolate(ends[: options.n], ends[options.n :])
  sample.write(_target(workdir, options, "interpolations.png"), paths)


def _film(config: ConfigDict, workdir: pathlib.Path, options: Options) -> None:
  import jax

  from genlat import films, loading, sample

  out = _target(workdir, options, "film.gif")
  kinds = (*films.MOVING, *sample.FORMATS)
  if out.suffix not in kinds:
    raise ValueError(
      f"--out must end in one of {', '.join(kinds)}; got {str(out)!r}"
    )
  model = loading.load(workdir, options.checkpoint, config=config)
  images = None
  if options.copies:
    images = sample.real_images(config, options.n, options.seed)
  reel = model.film(options.n, options.seed, images)
  if jax.process_index() == 0:
    films.save(out, reel)
    print(out)


def _target(workdir: pathlib.Path, options: Options, name: str) -> pathlib.Path:
  return pathlib.Path(options.out) if options.out else workdir / name


MODES: dict[str, Mode] = {
  "evaluate": _evaluate,
  "film": _film,
  "fit": _fit,
  "interpolate": _interpolate,
  "reconstruct": _reconstruct,
  "replay": _replay,
  "sample": _sample,
  "train": _train,
}
