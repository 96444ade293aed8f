"""Laws of the checkpoints: nothing saved is lost, nothing wrong is restored."""

import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genlat import sharding
from genlat.checkpoint import (
  CheckpointError,
  Checkpoints,
)
from genlat.state import Player, create

Tree = Any


def make_state(seed: int = 0, width: int = 64) -> Tree:
  """A state with every kind of leaf that a run can hold."""
  rng = jax.random.key(seed)
  params = {
    "encoder": {
      "kernel": jax.random.normal(rng, (128, width)),
      "bias": jnp.full(8, seed, jnp.bfloat16),
    },
    "decoder": {"kernel": jnp.ones((8, 4)) * seed},
  }
  player = Player(("encoder", "decoder"), optax.adam(1e-3))
  stats = {"encoder": {"ready": jnp.array([seed > 1, True])}}
  state = create(params, stats, {"main": player}, ema=True)
  return state.replace(
    step=jnp.int32(seed),
    frozen={"noise": rng, "codes": jnp.arange(5, dtype=jnp.int8)},
  )


def abstract(state: Tree, devices: int = 1, fsdp: int = 1) -> Tree:
  mesh = sharding.make_mesh(fsdp, jax.devices()[:devices])
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    state,
    sharding.state_sharding(state, mesh),
  )


def place(state: Tree, devices: int, fsdp: int) -> Tree:
  target = abstract(state, devices, fsdp)
  return jax.device_put(state, jax.tree.map(lambda x: x.sharding, target))


def raw(x: jax.Array) -> bytes:
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  return np.asarray(x).tobytes()


def assert_same(a: Tree, b: Tree) -> None:
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert (x.dtype, x.shape) == (y.dtype, y.shape)
    assert raw(x) == raw(y)


def array_file(folder: pathlib.Path, step: int) -> pathlib.Path:
  files = (folder / str(step) / "state").glob("ocdbt.process_0/d/*")
  return max(files, key=lambda file: file.stat().st_size)


def flip_bit(file: pathlib.Path) -> None:
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 4
  file.write_bytes(content)


def truncate(file: pathlib.Path) -> None:
  os.truncate(file, file.stat().st_size // 2)


@pytest.fixture
def saved(tmp_path: pathlib.Path) -> Iterator[Checkpoints]:
  """Steps 1 and 2, whole and closed; opened again."""
  writer = Checkpoints(tmp_path / "steps", keep=3)
  for step in (1, 2):
    writer.save(step, make_state(step), {"seed": step})
  writer.close()
  reader = Checkpoints(tmp_path / "steps", keep=3)
  yield reader
  reader.close()


# Saving and restoring.


@pytest.mark.parametrize("to", [(1, 1), (4, 2), (4, 1)])
def test_what_fsdp_saved_any_mesh_restores(tmp_path: pathlib.Path, to: Any):
  state = make_state(7)
  checkpoints = Checkpoints(tmp_path, keep=1)
  checkpoints.save(7, place(state, 4, 4), {"config": {"channels": [8, 8]}})
  target = abstract(state, *to)
  restored, meta, step = checkpoints.restore(target)
  checkpoints.close()
  assert (step, meta) == (7, {"config": {"channels": [8, 8]}})
  assert_same(restored, state)
  for x, y in zip(
    jax.tree.leaves(restored), jax.tree.leaves(target), strict=True
  ):
    assert x.sharding == y.sharding
  same = jax.random.normal(restored.frozen["noise"], (3,))
  np.testing.assert_array_equal(same, jax.random.normal(jax.random.key(7), 3))


def test_a_save_survives_the_donation_of_its_state(tmp_path: pathlib.Path):
  spoil = jax.jit(
    lambda tree: jax.tree.map(lambda x: x - x - 1, tree), donate_argnums=0
  )
  checkpoints = Checkpoints(tmp_path, keep=4)
  for step in range(1, 5):
    tree = {"w": jnp.full((512, 512), float(step)), "b": jnp.ones(3)}
    checkpoints.save(step, tree, {})
    jax.block_until_ready(spoil(tree))
  for step in range(1, 5):
    restored, _, _ = checkpoints.restore(
      abstract({"w": jnp.ones((512, 512)), "b": jnp.ones(3)}), step
    )
    assert (np.asarray(restored["w"]) == step).all()
  checkpoints.close()


def test_the_last_and_the_best_are_kept(tmp_path: pathlib.Path):
  losses = {1: 3.0, 2: 1.0, 3: 2.0, 4: None, 5: float("nan"), 6: 1.5}
  for step, loss in losses.items():
    checkpoints = Checkpoints(tmp_path, keep=2, best_metric="loss")
    metrics = None if loss is None else {"loss": loss, "other": -9.0}
    checkpoints.save(step, {"w": jnp.float32(step)}, {"step": step}, metrics)
    checkpoints.close()
  checkpoints = Checkpoints(tmp_path, keep=2, best_metric="loss")
  assert checkpoints.steps() == [2, 5, 6]
  assert (checkpoints.best(), checkpoints.latest()) == (2, 6)
  target = abstract({"w": jnp.float32(0)})
  assert checkpoints.restore(target, "best")[2] == 2
  assert checkpoints.read_meta("best") == {"step": 2}
  assert checkpoints.read_meta() == {"step": 6}
  assert not (tmp_path / "trash").exists()
  checkpoints.close()


def test_the_best_may_be_the_largest(tmp_path: pathlib.Path):
  checkpoints = Checkpoints(
    tmp_path, keep=1, best_metric="score", best_mode="max"
  )
  for step, score in enumerate([1.0, 3.0, 3.0, 2.0], start=1):
    checkpoints.save(step, {"w": jnp.ones(2)}, {}, {"score": score})
  checkpoints.wait()
  assert checkpoints.steps() == [3, 4]
  assert checkpoints.best() == 3
  checkpoints.close()


def test_the_best_needs_a_validation_split(saved: Checkpoints):
  with pytest.raises(ValueError, match=r"config\.data\.validation"):
    saved.restore(abstract(make_state()), "best")


def test_a_metric_that_is_missing_is_named(tmp_path: pathlib.Path):
  checkpoints = Checkpoints(tmp_path, keep=1, best_metric="elbo")
  with pytest.raises(ValueError, match=r"'elbo'.*\['loss'\]"):
    checkpoints.save(1, {"w": jnp.ones(2)}, {}, {"loss": 1.0})
  checkpoints.close()


def test_a_step_that_is_not_there_is_named(saved: Checkpoints):
  with pytest.raises(ValueError, match=r"no checkpoint 5 .*\[1, 2\]"):
    saved.restore(abstract(make_state()), 5)


@pytest.mark.parametrize("step", [1, 2])
def test_an_older_or_equal_step_is_refused(saved: Checkpoints, step: int):
  with pytest.raises(CheckpointError, match=f"checkpoint {step} is not newer"):
    saved.save(step, make_state(9), {})
  assert_same(saved.restore(abstract(make_state()), step)[0], make_state(step))


def test_an_empty_directory_says_what_to_do(tmp_path: pathlib.Path):
  checkpoints = Checkpoints(tmp_path, keep=1)
  with pytest.raises(CheckpointError, match="; train first"):
    checkpoints.restore(abstract(make_state()))
  with pytest.raises(CheckpointError, match="; train first"):
    checkpoints.read_meta()
  checkpoints.close()


# Another model.


def test_a_leaf_of_another_form_is_named(saved: Checkpoints):
  state = make_state()
  wide = abstract(make_state(width=32))
  with pytest.raises(ValueError, match=r"params/.*kernel is float32\[128,64\]"):
    saved.restore(wide)
  params = {**state.params, "decoder": {"kernel": jnp.ones((8, 4), jnp.int32)}}
  with pytest.raises(
    ValueError, match=r"float32\[8,4\] there and int32\[8,4\]"
  ):
    saved.restore(abstract(state.replace(params=params)))
  with pytest.raises(ValueError, match=r"ema/.*there and absent here"):
    saved.restore(abstract(state.replace(ema={})))
  more = {**state.params, "prior": {"scale": jnp.ones(2)}}
  with pytest.raises(ValueError, match="params/prior/scale is absent there"):
    saved.restore(abstract(state.replace(params=more)))
  assert saved.steps() == [1, 2]


# Damage.


@pytest.mark.parametrize(
  ("damage", "cause"),
  [
    (lambda f: flip_bit(array_file(f, 2)), "leaf .*kernel is not what was"),
    (lambda f: truncate(array_file(f, 2)), "leaf .*kernel cannot be read"),
    (lambda f: array_file(f, 2).unlink(), "leaf .*kernel cannot be read"),
    (lambda f: truncate(f / "2/state/_METADATA"), "arrays cannot be read"),
    (lambda f: shutil.rmtree(f / "2/state"), "arrays cannot be read"),
    (lambda f: flip_bit(f / "2/meta/meta.json"), "its meta"),
    (lambda f: shutil.rmtree(f / "2/meta"), "its meta cannot be read"),
  ],
)
def test_a_damaged_step_is_named_and_the_one_before_taken(
  saved: Checkpoints, capfd: Any, damage: Any, cause: str
):
  damage(saved.directory)
  target = abstract(make_state())
  with pytest.raises(CheckpointError, match=f"checkpoint 2 .*{cause}"):
    saved.restore(target, 2)
  restored, meta, step = saved.restore(target)
  assert (step, meta) == (1, {"seed": 1})
  assert_same(restored, make_state(1))
  lines = capfd.readouterr().err.splitlines()
  assert len(lines) == 1 and lines[0].startswith("genlat: checkpoint 2 in")
  # The step can be written again, and the damaged one is not lost.
  assert (saved.directory / "damaged/2").exists()
  saved.save(2, make_state(5), {})
  assert_same(saved.restore(target)[0], make_state(5))


def test_nothing_is_moved_when_all_steps_are_damaged(
  saved: Checkpoints, capfd: Any
):
  for step in (1, 2):
    flip_bit(array_file(saved.directory, step))
  with pytest.raises(CheckpointError, match=r"\[1, 2\], are damaged"):
    saved.restore(abstract(make_state()))
  assert saved.steps() == [1, 2]
  assert len(capfd.readouterr().err.splitlines()) == 2


def test_a_reader_touches_nothing(saved: Checkpoints):
  rest = saved.directory / "3.orbax-checkpoint-tmp"
  rest.mkdir()
  flip_bit(array_file(saved.directory, 2))
  reader = Checkpoints(saved.directory, keep=1, read_only=True)
  assert reader.restore(abstract(make_state()))[2] == 1
  reader.close()
  assert rest.exists() and (saved.directory / "2").exists()
  writer = Checkpoints(saved.directory, keep=1)
  writer.save(3, make_state(3), {})
  writer.close()
  assert sorted(path.name for path in saved.directory.iterdir()) == ["3"]


def test_a_refused_write_loses_nothing(
  saved: Checkpoints, monkeypatch: pytest.MonkeyPatch
):
  """The very error of a full disk, for machines that cannot mount one."""

  def refuse(*_: Any, **__: Any) -> bool:
    (saved.directory / "3.orbax-checkpoint-tmp").mkdir()
    raise ValueError(
      "RESOURCE_EXHAUSTED: Error writing: No space left on device"
    )

  monkeypatch.setattr(saved._manager, "save", refuse)
  with pytest.raises(CheckpointError, match=r"disk is full; kept: \[1, 2\]"):
    saved.save(3, make_state(3), {})
  assert not list(saved.directory.glob("*tmp*"))
  assert saved.restore(abstract(make_state()))[2] == 2
