"""Four fake devices, strict broadcasting, and a compilation cache."""

import os
import pathlib

from genlat import sharding

FAKE_DEVICES = 4

# Before JAX starts its CPU client: neither can be changed afterwards.
sharding.raise_nproc(FAKE_DEVICES)
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "")
  + f" --xla_force_host_platform_device_count={FAKE_DEVICES}"
)

_CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache"
# For the processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
  """The folder of original data files and weights, or a skip."""
  folder = os.environ.get("GENLAT_DATA", "")
  if not folder:
    pytest.skip("GENLAT_DATA names no folder of original data files")
  return pathlib.Path(folder)
