"""A run that is killed at any moment ends with the bits of one that was not."""

import signal

import jax
import numpy as np
import pytest

import genlat
from genlat import command, workdir
from tests import processes, shipped

STEPS = 240
OPTIONS, ALONE = command.Options("last", 4, 0, ""), command.Peers("", 1, 0)
FLAGS = (
  f"--config.steps={STEPS}",
  "--config.checkpoint.every=30",
  "--config.log.every=10",
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
  """A run that nobody disturbed."""
  workdir = tmp_path_factory.mktemp("reference")
  status, err = processes.finish(processes.start(workdir, *FLAGS))
  assert status == 0, err
  return workdir


def same(one, other) -> None:
  a, b = (genlat.load(path).state for path in (one, other))
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
  assert processes.lines(one) == processes.lines(other)
  steps = [line["step"] for line in processes.lines(other)]
  assert steps == [*range(10, STEPS + 1, 10)]


def test_stopped_runs_end_with_the_same_bits_and_the_same_log(
  reference, tmp_path
):
  """Killed, told to stop, and killed again."""
  stops = {50: signal.SIGKILL, 100: signal.SIGTERM, 160: signal.SIGKILL}
  for step, stop in stops.items():
    process = processes.start(tmp_path, *FLAGS)
    processes.wait_for(process, processes.logged(tmp_path, step))
    process.send_signal(stop)
    status, err = processes.finish(process)
    if stop == signal.SIGKILL:
      assert status == -signal.SIGKILL
    else:
      assert status == 0
      assert "stopped at step" in err and "same command" in err
  status, err = processes.finish(processes.start(tmp_path, *FLAGS))
  assert status == 0, err
  assert "goes on from step" in err
  same(reference, tmp_path)


def test_a_finished_run_does_nothing_more(reference):
  before = processes.lines(reference)
  config = workdir.read(reference).config
  assert command.run("train", config, reference, OPTIONS, ALONE) == 0
  assert processes.lines(reference) == before


def test_a_streaming_run_ends_with_the_same_bits(reference, tmp_path):
  flags = (*FLAGS, "--config.data.feeder=streaming")
  status, err = processes.finish(processes.start(tmp_path, *flags))
  assert status == 0, err
  same(reference, tmp_path)


def test_a_second_run_in_one_work_directory_is_refused(tmp_path, capsys):
  first = processes.start(tmp_path, *FLAGS, "--config.steps=100000")
  processes.wait_for(first, processes.logged(tmp_path, 10))
  config = shipped.config("glf_digits", "smoke", steps=STEPS).lock()
  status = command.run("train", config, tmp_path, OPTIONS, ALONE)
  first.kill()
  processes.finish(first)
  assert status == 1
  (line,) = capsys.readouterr().err.strip().splitlines()
  assert line.startswith("genlat: error:") and str(first.pid) in line
