"""Kills a run with SIGKILL at random steps and compares how it ends.

  python -m benchmarks.kill_resume --data=FOLDER_OF_MNIST

Two runs of `python main.py` with one configuration: one undisturbed, one that
is killed `--kills` times, every second time while a checkpoint is being
written. The parameters must agree in every bit and metrics.jsonl in every
line.
"""

import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent


def start(workdir: pathlib.Path, args: argparse.Namespace) -> subprocess.Popen:
  """Starts the run, or goes on with it."""
  command = [
    sys.executable,
    "main.py",
    f"--config={args.config}",
    f"--config.data.path={args.data}",
    f"--config.steps={args.steps}",
    f"--config.checkpoint.every={args.every}",
    "--config.log.every=1",
    "--config.log.pictures=0",
    f"--workdir={workdir}",
  ]
  return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def last_step(workdir: pathlib.Path) -> int:
  """The last whole line of the log."""
  path = workdir / "metrics.jsonl"
  lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
  return json.loads(lines[-1])["step"] if lines else 0


def writing(workdir: pathlib.Path) -> bool:
  """Whether a checkpoint is being written."""
  return any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"))


def kill_at(
  workdir: pathlib.Path,
  process: subprocess.Popen,
  step: int,
  in_save: bool,
) -> str:
  """Kills at a step, or at the first save after it; says where it was."""
  while process.poll() is None:
    if last_step(workdir) >= step and (not in_save or writing(workdir)):
      during = "during a save" if writing(workdir) else "between saves"
      process.send_signal(signal.SIGKILL)
      process.wait()
      return f"killed at step {last_step(workdir)}, {during}"
    time.sleep(0.001)
  return f"ended by itself with status {process.returncode}"


def compare(one: pathlib.Path, other: pathlib.Path) -> bool:
  """Prints and returns whether states and logs are equal."""
  import jax
  import numpy as np

  import genlat

  states = [genlat.load(path).state for path in (one, other)]
  leaves = list(zip(*(jax.tree.leaves(s) for s in states), strict=True))
  unlike = sum(not np.array_equal(a, b) for a, b in leaves)
  logs = [(path / "metrics.jsonl").read_text() for path in (one, other)]
  steps = [json.loads(line)["step"] for line in logs[1].splitlines()]
  whole = steps == [*range(1, len(steps) + 1)]
  print(f"arrays that differ: {unlike} of {len(leaves)}")
  print(
    f"logs equal: {logs[0] == logs[1]}; steps without gap or repeat: {whole}"
  )
  return not unlike and logs[0] == logs[1] and whole


def main() -> int:
  """Runs both and compares."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--config", default="configs/glf_mnist.py")
  parser.add_argument("--data", required=True, help="folder of its files")
  parser.add_argument("--steps", type=int, default=300)
  parser.add_argument("--every", type=int, default=20, help="steps a save")
  parser.add_argument("--kills", type=int, default=5)
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  args.data = pathlib.Path(args.data).resolve()
  with tempfile.TemporaryDirectory() as folder:
    whole, killed = (pathlib.Path(folder) / n for n in ("whole", "killed"))
    begin = time.monotonic()
    status = start(whole, args).wait()
    print(f"undisturbed: status {status}, {time.monotonic() - begin:.0f} s")
    steps = random.Random(args.seed).sample(range(5, args.steps), args.kills)
    for i, step in enumerate(sorted(steps)):
      print(kill_at(killed, start(killed, args), step, bool(i % 2)), flush=True)
    status = start(killed, args).wait()
    print(f"last start: status {status}")
    return 0 if compare(whole, killed) else 1


if __name__ == "__main__":
  sys.exit(main())
