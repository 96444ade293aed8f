"""Laws of the fingerprints of leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import sharding
from genlat.checkpoint import fingerprints


def test_fingerprint_by_hand():
  """1 * 1 + 2 * 2654435761 + 3 * (2 * 2654435761 + 1), modulo 2**32."""
  found = fingerprints({"a": jnp.array([1, 2, 3], jnp.uint32)})
  wanted = (1 + 2 * 2654435761 + 3 * ((2 * 2654435761) % 2**32 | 1)) % 2**32
  assert found == {"a": wanted}


def test_positions_are_counted_as_if_the_leaf_were_flat():
  values = jnp.arange(24, dtype=jnp.float32)
  flat = fingerprints(values)
  assert fingerprints(values.reshape(2, 3, 4)) == flat
  assert fingerprints(values.at[jnp.array([1, 7])].set([7.0, 1.0])) != flat


@pytest.mark.parametrize(
  "dtype", ["float32", "bfloat16", "float16", "int8", "uint16", "int32"]
)
def test_any_flipped_bit_changes_the_fingerprint(dtype: str):
  values = np.arange(6).reshape(2, 3).astype(jnp.dtype(dtype))
  whole = fingerprints(jnp.asarray(values))
  for place in range(values.nbytes * 8):
    content = bytearray(values.tobytes())
    content[place // 8] ^= 1 << place % 8
    flipped = np.frombuffer(bytes(content), values.dtype).reshape(2, 3)
    assert fingerprints(jnp.asarray(flipped)) != whole


def test_bools_keys_and_complex_numbers_have_fingerprints():
  a = fingerprints({"b": jnp.array([True, False]), "k": jax.random.key(1)})
  b = fingerprints({"b": jnp.array([True, True]), "k": jax.random.key(2)})
  assert a["b"] != b["b"] and a["k"] != b["k"]
  z = jnp.array([1 + 2j])
  assert fingerprints(z) != fingerprints(z.conj())


def test_fingerprints_do_not_depend_on_the_mesh():
  rng = jax.random.key(3)
  tree = {
    "a": jax.random.normal(rng, (128, 64)),
    "b": jax.random.bits(rng, (4, 2, 1024), jnp.uint16),
    "c": jnp.arange(3),
  }
  wanted = fingerprints(tree)
  for devices, fsdp in ((4, 4), (4, 2), (4, 1), (1, 1)):
    mesh = sharding.make_mesh(fsdp, jax.devices()[:devices])
    layout = sharding.state_sharding(tree, mesh)
    assert fingerprints(jax.device_put(tree, layout)) == wanted


def test_leaves_are_named_by_their_path():
  tree = {"params": {"net": [jnp.ones(1), (jnp.ones(2),)]}, "empty": {}}
  assert set(fingerprints(tree)) == {"params/net/0", "params/net/1/0"}
  assert fingerprints({}) == {}
