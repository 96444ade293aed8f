"""Laws of the mesh: what is split, what is gathered, and what never moves."""

import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from genlat import sharding
from tests import shipped


def test_fsdp_splits_the_largest_axis_that_it_divides():
  mesh = sharding.make_mesh(fsdp=2)
  assert dict(mesh.shape) == {"data": 2, "fsdp": 2}
  shapes = {
    "wide": (64, 128),
    "odd": (127, 64),
    "small": (4, 4),
    "prime": (127, 127),
  }
  tree = {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in shapes.items()}
  specs = {k: s.spec for k, s in sharding.state_sharding(tree, mesh).items()}
  assert specs == {
    "wide": PartitionSpec(None, "fsdp"),
    "odd": PartitionSpec(None, "fsdp"),
    "small": PartitionSpec(),
    "prime": PartitionSpec(),
  }


def collectives(text: str) -> dict[str, list[tuple[int, ...]]]:
  """Shapes of the results of each kind of collective in an HLO module."""
  found: dict[str, list[tuple[int, ...]]] = {}
  kinds = "all-gather|all-to-all|collective-permute|all-reduce"
  for line in text.splitlines():
    match = re.search(rf" = (.*?) ({kinds})(?:-start)?\(", line)
    if match:
      shapes = re.findall(r"\w+\[([\d,]*)\]", match[1])
      found.setdefault(match[2], []).extend(
        tuple(int(n) for n in s.split(",") if n) for s in shapes
      )
  return found


def test_fsdp_moves_weights_and_never_activations():
  """Without `gather` GSPMD reshards activations (glf: 64 rows of 8x8)."""
  config = shipped.config("glf_mnist", "smoke", model__hidden=128)
  method = shipped.build(config)
  batch = shipped.batch(config, rows=64)
  state = shipped.start(method, config)
  mesh = sharding.make_mesh(fsdp=4)
  layout = sharding.state_sharding(state, mesh)
  whole = sharding.replicated(mesh)
  rows = sharding.batch_sharding(mesh)
  step = sharding.compile(
    method.train_step,
    mesh,
    in_shardings=(layout, rows, whole),
    out_shardings=(layout, whole),
  )
  with jax.set_mesh(mesh):
    lowered = step.jitted.lower(state, batch, jax.random.key(0))
  moved = collectives(lowered.compile().as_text())
  assert moved.get("all-gather"), "nothing was split"
  assert "all-to-all" not in moved
  sizes = {leaf.size for leaf in jax.tree.leaves(state.params)}
  largest = max(sizes)
  for shape in moved["all-gather"]:
    assert np.prod(shape) <= largest, shape
    assert 64 not in shape[:1] or np.prod(shape) in sizes, shape


def test_nproc_is_raised_and_never_lowered(monkeypatch):
  cores = os.cpu_count() or 1
  for given, devices, processes, wanted in (
    ("", 1, 1, max(cores, 4)),
    ("2", 1, 1, max(cores, 4)),
    ("", 1, 0, max(cores, 8)),
    ("", 1, 2, max(cores, 8)),
    ("", 2, 1, max(cores, 8)),
    ("64", 4, 1, 64),
    ("nonsense", 8, 1, max(16, cores)),
  ):
    monkeypatch.setenv("NPROC", given)
    sharding.raise_nproc(devices, processes)
    assert os.environ["NPROC"] == str(wanted)


def test_devices_that_cannot_be_grouped_or_share_rows_are_named():
  with pytest.raises(ValueError, match="config.mesh.fsdp.*4; got 3"):
    sharding.make_mesh(fsdp=3)
  with pytest.raises(ValueError, match="multiple of the 4 devices; got 6"):
    sharding.check_batch(6, sharding.make_mesh())


def test_gather_and_split_leave_a_single_device_alone():
  x = jnp.arange(6.0)
  assert sharding.gather({"x": x})["x"] is x
  assert sharding.split_rows({"x": x})["x"] is x
