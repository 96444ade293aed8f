"""The device mesh, the layout of arrays on it, and the only `jax.jit`.

A mesh has two axes. The batch is split over both; parameters are replicated,
or split over `fsdp`, in which case `gather` replicates them at the head of
each loss so that GSPMD moves weights and never activations.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

PyTree = Any

AXES = ("data", "fsdp")


def raise_nproc(fake_devices: int = 1, processes: int = 1) -> None:
  """Raises NPROC, never lowers it, so that XLA's CPU pool cannot deadlock.

  Fewer pool threads than devices that wait for each other in a collective
  stop the program for good: with peers there are at least 8. Alone there are
  at least 4, since the pool size is part of the bit-exact result of a CPU run
  and common small machines should agree; 8 cost a flow step 20 % on 2 cores.
  It has to run before JAX makes its CPU client.

  Args:
    fake_devices: how many host devices XLA is asked to make.
    processes: how many processes take part; 0 for a number not known yet.
  """
  alone = fake_devices == 1 and processes == 1
  wanted = max(os.cpu_count() or 1, 2 * fake_devices, 4 if alone else 8)
  try:
    given = int(os.environ.get("NPROC", "0"))
  except ValueError:
    given = 0
  os.environ["NPROC"] = str(max(given, wanted))


def keep_programs() -> None:
  """Keeps compiled programs in a folder, so that the same run starts faster.

  The folder is JAX_COMPILATION_CACHE_DIR where that is set, else `xla` in
  GENLAT_CACHE or `~/.cache/genlat`. A program from it gives the same bits.
  """
  if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    return
  root = os.environ.get("GENLAT_CACHE") or os.path.expanduser(
    os.path.join("~", ".cache", "genlat")
  )
  jax.config.update("jax_compilation_cache_dir", os.path.join(root, "xla"))


def make_mesh(fsdp: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
  """A mesh of all devices (or those given) with axes `data` and `fsdp`.

  Args:
    fsdp: number of devices that share one copy of the parameters.
    devices: defaults to `jax.devices()`.

  Raises:
    ValueError: if the number of devices is not a multiple of `fsdp`.
  """
  devices = jax.devices() if devices is None else devices
  if fsdp < 1 or len(devices) % fsdp:
    raise ValueError(
      f"config.mesh.fsdp must divide the number of devices, {len(devices)};"
      f" got {fsdp}"
    )
  return jax.make_mesh(
    (len(devices) // fsdp, fsdp),
    AXES,
    axis_types=(AxisType.Auto, AxisType.Auto),
    devices=devices,
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds the whole array."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, leading: int = 0) -> NamedSharding:
  """Rows split over all devices; `leading` axes before them stay whole."""
  return NamedSharding(mesh, PartitionSpec(*[None] * leading, AXES))


def check_batch(batch_size: int, mesh: Mesh) -> None:
  """Raises ValueError unless the devices can share the rows equally."""
  if batch_size % mesh.size:
    raise ValueError(
      f"the batch must be a multiple of the {mesh.size} devices;"
      f" got {batch_size}"
    )


def state_sharding(abstract: PyTree, mesh: Mesh) -> PyTree:
  """One sharding per leaf of a state, split over `fsdp` where it pays.

  A leaf of at least 2**12 elements is split along its largest axis that
  `fsdp` divides; all others, and all of them where `fsdp` is 1, are
  replicated.
  """
  ways = mesh.shape["fsdp"]

  def one(leaf: Any) -> NamedSharding:
    shape = leaf.shape
    fit = [i for i, size in enumerate(shape) if size % ways == 0]
    if ways == 1 or not fit or np.prod(shape) < 2**12:
      return replicated(mesh)
    axis = max(fit, key=lambda i: shape[i])
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "fsdp"))

  return jax.tree.map(one, abstract)


def gather(params: PyTree) -> PyTree:
  """Replicates parameters inside a jitted function over a mesh.

  Storage stays split over `fsdp`; use is gathered. Outside of a mesh, or
  where nothing is split, it does nothing.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.shape.get("fsdp", 1) == 1:
    return params
  return jax.tree.map(
    lambda x: jax.lax.with_sharding_constraint(x, PartitionSpec()), params
  )


def split_rows(batch: PyTree) -> PyTree:
  """Constrains the leading axis of every leaf to all devices of the mesh."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.size == 1:
    return batch
  return jax.tree.map(
    lambda x: jax.lax.with_sharding_constraint(x, PartitionSpec(AXES)), batch
  )


def compile(
  fn: Callable[..., Any],
  mesh: Mesh | None = None,
  *,
  in_shardings: Any = None,
  out_shardings: Any = None,
  donate: tuple[int, ...] = (),
) -> Callable[..., Any]:
  """`jax.jit` over a mesh: the only place in genlat that calls it.

  Args:
    fn: a pure function.
    mesh: the mesh its constraints refer to; None for a single device.
    in_shardings: as in `jax.jit`; None leaves them to the arguments.
    out_shardings: as in `jax.jit`.
    donate: positions of arguments whose buffers the result may reuse.

  Returns:
    The compiled function, with `jitted` (the bare `jax.jit` object, for
    `lower` and `_cache_size`) as an attribute.
  """
  given = {"in_shardings": in_shardings, "out_shardings": out_shardings}
  jitted = jax.jit(
    fn,
    donate_argnums=donate,
    **{k: v for k, v in given.items() if v is not None},
  )

  def call(*args: Any) -> Any:
    if mesh is None:
      return jitted(*args)
    with jax.set_mesh(mesh):
      return jitted(*args)

  call.jitted = jitted  # pyright: ignore[reportFunctionMemberAccess]
  return call


def to_global(rows: PyTree, mesh: Mesh, leading: int = 0) -> PyTree:
  """Puts this process's rows of a batch on its devices.

  Args:
    rows: numpy arrays `[..., B_local, ...]` with `leading` axes before rows.
    mesh: the mesh of all processes.
    leading: number of axes before the rows.

  Returns:
    Global arrays whose row axis is the sum of all processes' rows.
  """
  layout = batch_sharding(mesh, leading)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(layout, x), rows
  )


def to_every_device(tree: PyTree, mesh: Mesh) -> PyTree:
  """Replicates host arrays, equal on all processes, on every device."""
  layout = replicated(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(
      layout, np.asarray(x), np.shape(x)
    ),
    tree,
  )


def start_processes(
  coordinator: str, processes: int, process: int, heartbeat: int = 100
) -> None:
  """Joins a run of several processes; TPU pods and Slurm are detected.

  Args:
    coordinator: 'host:port' of process 0; '' leaves everything to detection.
    processes: number of processes.
    process: index of this one.
    heartbeat: seconds of silence after which JAX itself ends the process,
      with a dump: longer than the watchdog waits.
  """
  if coordinator:
    jax.distributed.initialize(
      coordinator,
      processes,
      process,
      heartbeat_timeout_seconds=heartbeat,
    )
  else:
    jax.distributed.initialize(heartbeat_timeout_seconds=heartbeat)
  print(
    f"process {jax.process_index()} of {jax.process_count()}",
    file=sys.stderr,
    flush=True,
  )
