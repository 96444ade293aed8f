"""`python main.py` as a process of its own, as tests ask for it."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = "configs/glf_digits.py:smoke"
QUIET = ("--config.log.tensorboard=False", "--config.log.pictures=0")


def environment(devices: int = 1) -> dict[str, str]:
  """The test's environment with this many fake devices."""
  count = f"--xla_force_host_platform_device_count={devices}"
  return os.environ | {
    "JAX_PLATFORMS": "cpu",
    "NPROC": "16",
    "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {count}",  # the last one counts
  }


def start(
  workdir: pathlib.Path,
  *flags: str,
  devices: int = 1,
  config: str = CONFIG,
) -> subprocess.Popen:
  """Starts a run; output is collected as text."""
  command = [sys.executable, "main.py", f"--workdir={workdir}", *QUIET]
  return subprocess.Popen(
    [*command, f"--config={config}", *flags],
    cwd=ROOT,
    env=environment(devices),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen, seconds: float = 240) -> tuple[int, str]:
  """Waits for a process; exit status and what it wrote to stderr."""
  try:
    _, err = process.communicate(timeout=seconds)
  except subprocess.TimeoutExpired:
    process.kill()
    _, err = process.communicate()
    raise AssertionError(f"still running after {seconds} s:\n{err}") from None
  return process.returncode, err


def lines(workdir: pathlib.Path) -> list[dict]:
  """Whole lines of metrics.jsonl."""
  path = workdir / "metrics.jsonl"
  if not path.exists():
    return []
  text = path.read_bytes().split(b"\n")[:-1]
  return [json.loads(line) for line in text]


def wait_for(
  process: subprocess.Popen, ready: Callable[[], bool], seconds: float = 240
) -> None:
  """Polls until `ready`; fails where the process ends before that."""
  end = time.monotonic() + seconds
  while not ready():
    if process.poll() is not None:
      raise AssertionError(f"ended early:\n{process.communicate()[1]}")
    if time.monotonic() > end:
      process.kill()
      raise AssertionError(f"not ready after {seconds} s")
    time.sleep(0.005)


def logged(workdir: pathlib.Path, step: int) -> Callable[[], bool]:
  """Whether a step has been logged."""
  return lambda: any(line["step"] >= step for line in lines(workdir))


def free_port() -> int:
  """A port of this host that nobody listens on."""
  import socket

  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def checkpoints(workdir: pathlib.Path) -> Iterator[int]:
  """Steps that have a checkpoint directory."""
  folder = workdir / "checkpoints"
  for path in folder.glob("*") if folder.exists() else ():
    if path.name.isdigit():
      yield int(path.name)
