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

import jax  # noqa: E402
import pytest  # noqa: E402

_CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache"

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
  """The folder of original data files and weights, or a skip."""
  folder = os.environ.get("GENLAT_DATA", "")
  if not folder:
    pytest.skip("GENLAT_DATA names no folder of original data files")
  return pathlib.Path(folder)
