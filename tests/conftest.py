"""Four fake devices, strict broadcasting, and a compilation cache."""

import gc
import math
import os
import pathlib
from importlib import metadata

import pytest

FAKE_DEVICES = 4
KEPT_MAPS = 15_000  # of 65530; a file makes some thousands
_CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache"

# Before JAX is imported: for this process and for those that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
_FLAGS = [f"--xla_force_host_platform_device_count={FAKE_DEVICES}"]
if not os.environ.get("GENLAT_OPTIMISED"):
  # Compiling is most of the suite: unoptimised, it takes half the time. The
  # laws hold for any program; `make test-all` asks them of the optimised one.
  _FLAGS.append("--xla_backend_optimization_level=0")
  _FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
  if metadata.version("jaxlib").startswith("0.10."):
    # A third of that again. JAX 0.11 has no such flag, and ends where it is
    # given one that it does not know.
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_FLAGS])

import jax  # noqa: E402

from genlat import sharding  # noqa: E402

# Before JAX starts its CPU client: it cannot be changed afterwards.
sharding.raise_nproc(FAKE_DEVICES)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
  """Each compiled program maps memory; the system allows 65530 maps.

  Programs are kept while there are few: files share the small ones, and with
  them a twentieth of the suite's time.
  """
  yield
  if maps() > KEPT_MAPS:
    jax.clear_caches()
    gc.collect()


def maps() -> float:
  """Memory maps of this process; infinite where the system does not say."""
  try:
    return pathlib.Path("/proc/self/maps").read_bytes().count(b"\n")
  except OSError:
    return math.inf


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
  """The folder of original data files and weights, or a skip."""
  folder = os.environ.get("GENLAT_DATA", "")
  if not folder:
    pytest.skip("GENLAT_DATA names no folder of original data files")
  return pathlib.Path(folder)
