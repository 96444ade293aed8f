"""Several real processes over gloo: one maths, one end, no survivor hangs."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from genlat import train, watchdog
from genlat.checkpoint import RunLock
from tests import processes, shipped

MANY = (
  "--config.optimizer.name=sgd",
  "--config.optimizer.lr=1e-4",
  "--config.optimizer.schedule=constant",
  "--config.steps=1000000",
  "--config.checkpoint.every=1000000",
  "--config.log.every=20",
)


@pytest.fixture
def pair():
  """Starts two processes of a run; ends what a failed test leaves."""
  started = []

  def start(workdir, *flags, of_second=()):
    port = processes.free_port()
    for i in range(2):
      peer = (
        f"--coordinator=127.0.0.1:{port}",
        "--processes=2",
        f"--process={i}",
        *(of_second if i else ()),
      )
      started.append(processes.start(workdir, *flags, *peer, devices=2))
    return started

  yield start
  for process in started:
    process.kill()
    for pipe in (process.stdout, process.stderr):
      pipe.close()
    process.wait()


def test_two_processes_give_the_losses_of_one_and_stop_together(pair, tmp_path):
  both = pair(tmp_path / "two", *MANY, "--config.log.every=1")
  processes.wait_for(both[0], processes.logged(tmp_path / "two", 6))
  both[1].send_signal(signal.SIGTERM)  # one of them is told, all stop
  ends = [processes.finish(process) for process in both]
  assert [status for status, _ in ends] == [0, 0], ends
  assert "stopped at step" in ends[0][1]
  assert len(list(processes.checkpoints(tmp_path / "two"))) == 1
  config = shipped.config(
    "glf_digits",
    "smoke",
    optimizer__name="sgd",
    optimizer__lr=1e-4,
    optimizer__schedule="constant",
    log__every=1,
    log__pictures=0,
    log__tensorboard=False,
    steps=6,
  )
  train.train(config.lock(), tmp_path / "one")
  two, one = (
    [line["loss"] for line in processes.lines(tmp_path / name)]
    for name in ("two", "one")
  )
  assert len(one) == 6
  np.testing.assert_allclose(two[:6], one, rtol=1e-5)


def test_a_survivor_ends_with_one_line(pair, tmp_path):
  both = pair(tmp_path, *MANY, "--config.log.watchdog=10")
  processes.wait_for(both[0], processes.logged(tmp_path, 20))
  both[1].kill()
  begin = time.monotonic()
  status, err = processes.finish(both[0], 60)
  processes.finish(both[1])
  assert status == watchdog.EXIT, err
  assert time.monotonic() - begin < 30
  assert err.count("another process is gone or stuck") == 1


def test_a_second_run_in_a_directory_ends_on_every_process(pair, tmp_path):
  with RunLock(tmp_path):
    both = pair(tmp_path, *MANY)
    ends = [processes.finish(process, 90) for process in both]
  assert [status for status, _ in ends] == [1, 1], ends
  for _, err in ends:
    assert err.count("error: another run is using") == 1, err
  assert f"process {os.getpid()} on" in ends[0][1]
  assert not (tmp_path / "run.json").exists()


LATE = """
import sys, time
import jax
from genlat import identity
adopt = identity.adopt
def late(run):
  time.sleep(4 * jax.process_index())
  adopt(run)
identity.adopt = late
import main
sys.exit(main.main(sys.argv))
"""


def test_a_process_may_be_late_at_the_start(tmp_path):
  port, started = processes.free_port(), []
  for i in range(2):
    command = [
      *(sys.executable, "-c", LATE, f"--workdir={tmp_path}"),
      *(f"--config={processes.CONFIG}", *processes.QUIET, "--config.steps=2"),
      *(f"--coordinator=127.0.0.1:{port}", "--processes=2", f"--process={i}"),
    ]
    started.append(
      subprocess.Popen(
        command,
        cwd=processes.ROOT,
        env=processes.environment(2),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
    )
  ends = [processes.finish(process, 120) for process in started]
  assert [status for status, _ in ends] == [0, 0], ends


def test_an_error_on_one_process_ends_all(pair, tmp_path):
  both = pair(tmp_path, *MANY, of_second=("--config.model.hidden=0",))
  status, err = processes.finish(both[1], 90)
  assert status == 1 and err.count("error: config.model.hidden") == 1, err
  status, err = processes.finish(both[0], 90)
  assert status == watchdog.EXIT, err
  assert err.count("another process is gone or stuck") == 1


def test_the_watchdog_sleeps_until_the_first_step_and_while_it_rests():
  dog = watchdog.Watchdog(0.05)
  time.sleep(0.3)
  dog.beat()
  dog.rest()
  time.sleep(0.3)


def test_only_errors_of_peers_end_a_process_without_a_barrier():
  gone = type("JaxRuntimeError", (RuntimeError,), {})
  assert watchdog.of_a_peer(gone("Gloo allreduce: Connection closed by peer"))
  assert not watchdog.of_a_peer(gone("Out of memory"))
  assert not watchdog.of_a_peer(ValueError("no connection"))
