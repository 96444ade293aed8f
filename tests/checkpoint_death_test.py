"""Full disks, kills, rivals and peers: nothing that was saved is lost."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import sharding
from genlat.checkpoint import (
  CheckpointError,
  Checkpoints,
  RunLock,
  fingerprints,
)

Tree = Any


def abstract(tree: Tree, devices: int = 1, fsdp: int = 1) -> Tree:
  mesh = sharding.make_mesh(fsdp, jax.devices()[:devices])
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    tree,
    sharding.state_sharding(tree, mesh),
  )


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)]
  try:
    subprocess.run(mount, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip("no small file system can be mounted here")
  yield folder
  subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: pathlib.Path, capfd: Any):
  def tree(seed: int) -> Tree:
    return {"w": jax.random.normal(jax.random.key(seed), (512, 1024))}

  checkpoints = Checkpoints(small_disk / "steps", keep=9)
  checkpoints.save(10, tree(10), {})
  checkpoints.wait()
  with pytest.raises(
    CheckpointError,
    match=r"checkpoint \d+ was not written .*disk is full; kept: \[10",
  ) as caught:
    for step in (20, 30, 40):
      checkpoints.save(step, tree(step), {})
      checkpoints.wait()
  assert "\n" not in str(caught.value)
  checkpoints.close()
  names = {path.name for path in (small_disk / "steps").iterdir()}
  assert all(name.isdigit() for name in names)
  again = Checkpoints(small_disk / "steps", keep=9)
  restored, _, step = again.restore(abstract(tree(0)))
  np.testing.assert_array_equal(restored["w"], tree(step)["w"])
  again.close()
  assert capfd.readouterr().err == ""


_WRITER = """
import sys
import jax, jax.numpy as jnp
from genlat.checkpoint import Checkpoints, RunLock
jax.config.update("jax_platforms", "cpu")
with RunLock(sys.argv[1]):
  print("locked", flush=True)
  checkpoints = Checkpoints(sys.argv[1] + "/steps", keep=2)
  for step in range(1, 10**6):
    tree = {"w": jnp.full((1024, 256), step), "b": jnp.float32(step)}
    checkpoints.save(step, tree, {"step": step})
    if step >= 3:
      print(step, flush=True)
"""


def _start(code: str, *args: str) -> subprocess.Popen[str]:
  root = str(pathlib.Path(__file__).parent.parent)
  return subprocess.Popen(
    [sys.executable, "-c", code, *args],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
    env={**os.environ, "PYTHONPATH": root, "XLA_FLAGS": ""},
  )


def test_a_kill_while_saving_loses_nothing_and_frees_the_lock(
  tmp_path: pathlib.Path,
):
  for wait in (0.004, 0.023):
    folder = tmp_path / str(wait)
    process = _start(_WRITER, str(folder))
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(OSError, match=f"process {process.pid} on ") as caught:
      RunLock(folder).__enter__()
    assert "\n" not in str(caught.value)
    reached = int(process.stdout.readline())
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    reached = int((process.stdout.read().split() or [reached])[-1])
    process.wait()
    process.stdout.close()
    with RunLock(folder):
      checkpoints = Checkpoints(folder / "steps", keep=2)
      target = abstract({"w": jnp.ones((1024, 256), int), "b": jnp.ones(())})
      for step in checkpoints.steps():
        restored, meta, _ = checkpoints.restore(target, step)
        assert meta == {"step": step} and float(restored["b"]) == step
        assert (np.asarray(restored["w"]) == step).all()
      # The save before the one just started was waited for.
      assert (checkpoints.latest() or 0) >= reached - 1
      checkpoints.save(10**7, {"w": jnp.ones(2)}, {})
      checkpoints.close()
      assert not list((folder / "steps").glob("*tmp*"))


def test_two_runs_do_not_share_a_directory(tmp_path: pathlib.Path):
  with RunLock(tmp_path / "run"), RunLock(tmp_path / "other"):
    with pytest.raises(OSError, match=f"process {os.getpid()} on .*--workdir"):
      RunLock(tmp_path / "run").__enter__()
  with RunLock(tmp_path / "run"):
    pass


_PAIR = """
import json, os, pathlib, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_platforms", "cpu")
port, process, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
jax.distributed.initialize("127.0.0.1:" + port, 2, process)
from genlat import sharding
from genlat.checkpoint import Checkpoints, fingerprints
mesh = sharding.make_mesh(4)
def tree(step):
  rng = np.random.default_rng(step)
  host = {
    "w": rng.normal(size=(64, 128)).astype("float32"),
    "b": np.full(3, step, "int32"),
  }
  layout = sharding.state_sharding(host, mesh)
  return jax.tree.map(
    lambda x, s: jax.make_array_from_callback(x.shape, s, lambda i: x[i]),
    host, layout)
checkpoints = Checkpoints(folder, keep=2, best_metric="loss")
for step in (1, 2, 3, 4):
  checkpoints.save(step, tree(step), {"step": step}, {"loss": step})
checkpoints.wait()
if process == 0:
  files = pathlib.Path(folder).glob("4/state/ocdbt.process_1/d/*")
  largest = max(files, key=lambda f: f.stat().st_size)
  os.truncate(largest, largest.stat().st_size // 2)
jax.experimental.multihost_utils.sync_global_devices("damaged")
like = jax.tree.map(
  lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
  tree(0))
restored, meta, step = checkpoints.restore(like)
checkpoints.save(4, restored, meta, {"loss": 9})
checkpoints.close()
print("RESULT", json.dumps([step, meta, checkpoints.steps(),
                            fingerprints(restored)]), flush=True)
"""


def test_two_processes_save_restore_and_agree(tmp_path: pathlib.Path):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
  flags = "--xla_force_host_platform_device_count=2"
  root = str(pathlib.Path(__file__).parent.parent)
  pair = [
    subprocess.Popen(
      [sys.executable, "-c", _PAIR, port, str(process), str(tmp_path)],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      env={**os.environ, "PYTHONPATH": root, "XLA_FLAGS": flags},
    )
    for process in range(2)
  ]
  results = []
  try:
    for process in pair:
      text, _ = process.communicate(timeout=60)
      found = [line for line in text.splitlines() if "RESULT" in line]
      assert found, text[-2000:]
      results.append(json.loads(found[0].partition("RESULT ")[2]))
  finally:
    for process in pair:
      process.kill()
  rng = np.random.default_rng(3)
  tree = {
    "w": rng.normal(size=(64, 128)).astype("float32"),
    "b": np.full(3, 3, "int32"),
  }
  assert results == [[3, {"step": 3}, [1, 3, 4], fingerprints(tree)]] * 2
  checkpoints = Checkpoints(tmp_path, keep=2, best_metric="loss")
  restored, _, step = checkpoints.restore(abstract(tree, 4, 2))
  checkpoints.close()
  assert step == 4
  np.testing.assert_array_equal(restored["w"], tree["w"])
