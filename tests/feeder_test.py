"""Both feeders: the same batches, from any step, on any devices."""

import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import sharding
from genlat.data import feeder, order
from genlat.data.source import ArraySource

N, BATCH, SEED = 44, 8, 3


def _source(n: int = N) -> ArraySource:
  rng = np.random.default_rng(0)
  return ArraySource(
    "random",
    {
      "image": rng.integers(0, 256, (n, 3, 2, 1)).astype(np.uint8),
      "label": np.arange(n, dtype=np.int32),
    },
    tuple(map(str, range(n))),
  )


class _Watched:
  """Counts reads, and fails where it is told to."""

  def __init__(self, source: ArraySource, bad: int = -1) -> None:
    self.whole, self.bad, self.read_indices = source, bad, []
    self.error = OSError(f"image {bad} cannot be decoded")
    self.name, self.image_shape = source.name, source.image_shape
    self.classes, self.fingerprint = source.classes, source.fingerprint

  def __len__(self) -> int:
    return len(self.whole)

  def read(self, indices):
    self.read_indices.append(np.array(indices))
    if self.bad in indices:
      raise self.error
    return self.whole.read(indices)

  def captions(self, indices):
    return self.whole.captions(indices)


def _make(kind, mesh=None, source=None, **given):
  defaults = {
    "batch_size": BATCH,
    "seed": SEED,
    "steps_per_call": 1,
    "resident_limit_gib": 1.0,
    "threads": 2,
    "prefetch": 3,
  }
  return feeder.make_feeder(
    source or _source(),
    mesh or sharding.make_mesh(),
    kind=kind,
    **{**defaults, **given},
  )


def _batches(made, mesh, start, count, calls=1):
  """Batches of steps start ... start + count - 1, as a loop gets them."""
  compiled = sharding.compile(made.batch, mesh)
  got = []
  for step in range(start, start + count, calls):
    feed = made.feed(step, calls)
    for i in range(calls):
      got.append(jax.device_get(compiled(feed, jnp.int32(step + i), i)))
  return got


def _assert_same(a, b):
  assert len(a) == len(b) > 0
  jax.tree.map(np.testing.assert_array_equal, a, b)


def _expected(steps):
  source, got = _source(), []
  for step in steps:
    index = order.rows(step, seed=SEED, n=N, batch_size=BATCH)
    got.append({**source.read(index), "index": index})
  return got


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("kind", ["resident", "streaming"])
@pytest.mark.parametrize("calls", [1, 3])
def test_batches_are_those_of_the_order_over_an_epoch_boundary(
  kind, devices, calls
):
  mesh = sharding.make_mesh(devices=jax.devices()[:devices])
  made = _make(kind, mesh, steps_per_call=calls)
  got = _batches(made, mesh, 0, 12, calls)
  made.close()
  assert made.kind == kind
  assert made.steps_per_epoch == 5
  _assert_same(got, _expected(range(12)))
  assert got[0]["image"].dtype == np.uint8
  assert got[0]["index"].dtype == np.int32


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_restart_at_any_step_equals_a_straight_run(kind):
  mesh = sharding.make_mesh()
  made = _make(kind, mesh)
  for step in (7, 8, 2, 3, 2, 0, 1003):
    _assert_same(_batches(made, mesh, step, 1), _expected([step]))
  made.close()


def test_calls_of_other_lengths_follow_each_other_exactly():
  mesh = sharding.make_mesh()
  made = _make("streaming", mesh, steps_per_call=3)
  got = _batches(made, mesh, 0, 6, 3) + _batches(made, mesh, 6, 2, 2)
  got += _batches(made, mesh, 8, 3, 1)
  made.close()
  _assert_same(got, _expected(range(11)))


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_every_example_comes_once_an_epoch(kind):
  mesh = sharding.make_mesh()
  made = _make(kind, mesh, _source(40))
  got = _batches(made, mesh, 0, 10)
  made.close()
  for epoch in (got[:5], got[5:]):
    seen = np.concatenate([batch["label"] for batch in epoch])
    np.testing.assert_array_equal(np.sort(seen), np.arange(40))


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_rows_are_split_over_the_devices(kind):
  mesh = sharding.make_mesh(fsdp=2)
  made = _make(kind, mesh)
  batch = sharding.compile(made.batch, mesh)(made.feed(0), jnp.int32(0), 0)
  made.close()
  for leaf in batch.values():
    shapes = {shard.data.shape[0] for shard in leaf.addressable_shards}
    assert shapes == {BATCH // 4}


def test_resident_set_is_an_argument_and_gathered_without_collectives():
  mesh = sharding.make_mesh()
  made = _make("resident", mesh)
  assert made.feed(0) is made.feed(9, 4)
  compiled = sharding.compile(made.batch, mesh)
  other = jax.tree.map(jnp.zeros_like, made.feed(0))
  assert not compiled(other, jnp.int32(0), 0)["image"].any()
  with jax.set_mesh(mesh):
    program = compiled.jitted.lower(made.feed(0), jnp.int32(0), 0).compile()
  text = program.as_text()
  for collective in ("all-gather", "all-reduce", "all-to-all", "permute("):
    assert collective not in text


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_batch_is_chosen_inside_a_scan(kind):
  mesh = sharding.make_mesh()
  made = _make(kind, mesh, steps_per_call=4)

  def steps(feed, first):
    one = lambda step, i: (step + 1, made.batch(feed, step, i))
    return jax.lax.scan(one, first, jnp.arange(4))[1]

  got = sharding.compile(steps, mesh)(made.feed(3, 4), jnp.int32(3))
  made.close()
  expected = jax.tree.map(lambda *x: np.stack(x), *_expected(range(3, 7)))
  _assert_same([jax.device_get(got)], [expected])


def test_next_call_is_read_before_it_is_asked_for():
  watched = _Watched(_source())
  made = _make("streaming", source=watched, threads=0, steps_per_call=2)
  made.feed(0, 2)
  made._ahead[1].result(timeout=20)
  assert len(watched.read_indices) == 4
  made.close()


@pytest.mark.parametrize("threads", [0, 2])
def test_error_of_a_reading_thread_arrives_unchanged(threads):
  steps = [order.rows(s, seed=SEED, n=N, batch_size=BATCH) for s in range(5)]
  watched = _Watched(_source(), bad=int(steps[2][5]))
  mesh = sharding.make_mesh()
  made = _make("streaming", mesh, watched, threads=threads)
  _assert_same(_batches(made, mesh, 0, 2), _expected([0, 1]))
  for _ in range(2):  # It stays an error, and no batch is left out for it.
    with pytest.raises(OSError) as caught:
      made.feed(2)
    assert caught.value is watched.error
  watched.bad = -1
  _assert_same(_batches(made, mesh, 2, 2), _expected([2, 3]))
  made.close()


def test_reading_is_lazy_in_streaming_and_whole_in_resident(monkeypatch):
  monkeypatch.setattr(feeder, "_READ_AT_ONCE", 10)
  watched = _Watched(_source())
  _make("streaming", source=watched).close()
  assert not watched.read_indices
  _make("resident", source=watched)
  assert [len(x) for x in watched.read_indices] == [10, 10, 10, 10, 4]


def test_auto_keeps_resident_what_fits():
  example = _source().read(np.arange(1))  # images, and what comes with them
  size = N * sum(value.nbytes for value in example.values()) / 2**30
  assert size > N * 3 * 2 / 2**30
  fits = _make("auto", resident_limit_gib=size)
  exceeds = _make("auto", resident_limit_gib=size * 0.999)
  assert (fits.kind, exceeds.kind) == ("resident", "streaming")
  exceeds.close()


@pytest.mark.parametrize(
  ("kind", "given", "match"),
  [
    ("lazy", {}, "auto, resident, streaming; got 'lazy'"),
    ("auto", {"batch_size": 45}, r"config\.batch_size .* 44 .* got 45"),
    ("auto", {"batch_size": 6}, "multiple of the 4 devices; got 6"),
    ("streaming", {"threads": -1}, r"config\.data\.threads"),
    ("streaming", {"prefetch": 0}, r"config\.data\.prefetch"),
  ],
)
def test_bad_arguments_name_the_key(kind, given, match):
  with pytest.raises(ValueError, match=match):
    _make(kind, **given)


@pytest.mark.parametrize("limit", [0, 1, 8, 13, 100])
@pytest.mark.parametrize("n", [5, 16, 21])
def test_evaluation_counts_each_example_once_in_order(n, limit):
  mesh = sharding.make_mesh()
  source, seen, images = _source(n), [], []
  for batch, mask in feeder.eval_batches(source, 8, mesh, limit=limit):
    assert batch["image"].shape == (8, 3, 2, 1)
    assert batch["image"].dtype == np.uint8
    assert mask.dtype == np.float32
    assert len(mask.addressable_shards) == 4
    assert mask.addressable_shards[0].data.shape == (2,)
    keep = np.asarray(mask) == 1
    assert (np.asarray(batch["index"])[~keep] == min(n, limit or n) - 1).all()
    seen.append(np.asarray(batch["index"])[keep])
    images.append(np.asarray(batch["image"])[keep])
  count = min(n, limit or n)
  np.testing.assert_array_equal(np.concatenate(seen), np.arange(count))
  np.testing.assert_array_equal(
    np.concatenate(images), source.read(np.arange(count))["image"]
  )


def test_evaluation_refuses_what_it_cannot_do_at_once():
  mesh = sharding.make_mesh()
  with pytest.raises(ValueError, match="limit of at least 0 .* got -1 and 44"):
    feeder.eval_batches(_source(), 8, mesh, limit=-1)
  with pytest.raises(ValueError, match="multiple of the 4 devices"):
    feeder.eval_batches(_source(), 6, mesh)


_PROCESS = """
import sys
from genlat import sharding
import jax
jax.config.update("jax_platforms", "cpu")
port, process = sys.argv[1], int(sys.argv[2])
sharding.start_processes("127.0.0.1:" + port, 2, process)
sys.path.insert(0, "tests")
import jax.numpy as jnp
import numpy as np
import feeder_test as t
# Devices of both processes in turn, as the layout of a pod may ask for.
devices = sorted(jax.devices(), key=lambda d: (d.id % 2, d.process_index))
assert [d.process_index for d in devices] == [0, 1, 0, 1]
mesh = jax.sharding.Mesh(
  np.array(devices).reshape(4, 1), sharding.AXES
)
here = np.array([0, 1, 4, 5]) + 2 * process
watched = t._Watched(t._source())
made = t._make("streaming", mesh, watched, threads=0)
resident = t._make("resident", mesh)
watched.read_indices.clear()
gather = lambda a: np.concatenate([
  s.data for s in sorted(a.addressable_shards, key=lambda s: s.index[0].start)
])
for step in (4, 5):
  expected = t._expected([step])[0]
  for one in (made, resident):
    batch = sharding.compile(one.batch, mesh)(
      one.feed(step), jnp.int32(step), 0
    )
    for name, leaf in batch.items():
      np.testing.assert_array_equal(gather(leaf), expected[name][here])
  assert {len(x) for x in watched.read_indices} == {4}
made.close()
counted = []
for batch, mask in t.feeder.eval_batches(t._source(21), 8, mesh):
  counted += gather(batch["index"])[gather(mask) == 1].tolist()
print("COUNTED", counted, flush=True)
"""


def test_two_processes_read_their_own_rows_only():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
  root = pathlib.Path(__file__).parent.parent
  code = (
    "import os; os.environ['NPROC'] = '8'; os.environ['XLA_FLAGS'] ="
    " '--xla_force_host_platform_device_count=2'\n" + _PROCESS
  )
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", code, port, str(i)],
      cwd=root,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  counted: list[int] = []
  try:
    for process in processes:
      out, err = process.communicate(timeout=120)
      assert process.returncode == 0, err[-3000:]
      line = next(x for x in out.splitlines() if x.startswith("COUNTED"))
      counted += [int(x) for x in line[9:-1].split(",")]
  finally:
    for process in processes:
      process.kill()
  assert sorted(counted) == list(range(21))
