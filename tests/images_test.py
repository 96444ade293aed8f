"""What is done to images on the device: ranges, laws and independence."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from genlat import sharding
from genlat.data import images


def _batch(rows: int = 6, side: int = 5, channels: int = 1, seed: int = 0):
  rng = np.random.default_rng(seed)
  shape = (rows, side, side, channels)
  return {
    "image": jnp.asarray(rng.integers(0, 256, shape, np.uint8)),
    "index": jnp.arange(10, 10 + rows, dtype=jnp.int32),
    "label": jnp.arange(rows, dtype=jnp.int32),
  }


OFF = {
  "flip": False,
  "dequantise": False,
  "binarise": "none",
  "random_crop": 0,
}
SWITCHES = [
  {"flip": True},
  {"dequantise": True},
  {"binarise": "fixed"},
  {"binarise": "dynamic"},
  {"binarise": "dynamic", "flip": True},
  {"random_crop": 3},
  {"random_crop": 3, "binarise": "dynamic", "flip": True},
]


def test_scaling_maps_grey_levels_to_the_unit_interval():
  levels = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1)
  batch = {"image": levels, "index": jnp.zeros((1,), jnp.int32)}
  prepare = jax.jit(lambda b: images.prepare_batch(b, jax.random.key(0), **OFF))
  got = np.asarray(prepare(batch)["image"]).ravel()
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, np.arange(256) / 255, rtol=2e-7)
  assert got[0] == 0.0 and got[255] == 1.0
  # The toolkit's own quantisation undoes it.
  np.testing.assert_array_equal(np.floor(255 * got + 0.5), np.arange(256))


def test_other_entries_pass_unchanged():
  batch = _batch()
  got = images.prepare_batch(batch, jax.random.key(0), **OFF)
  assert set(got) == {"image", "index", "label"}
  np.testing.assert_array_equal(got["label"], batch["label"])


def test_dequantised_levels_are_uniform_within_their_cell():
  level = jnp.repeat(jnp.array([0, 7, 255], jnp.uint8), 10000)
  batch = {
    "image": level.reshape(1, 3, 10000, 1),
    "index": jnp.zeros((1,), jnp.int32),
  }
  got = images.prepare_batch(
    batch, jax.random.key(1), **{**OFF, "dequantise": True}
  )["image"]
  cells = np.asarray(got, np.float64).ravel() * 256
  np.testing.assert_array_equal(np.floor(cells), level)
  assert got.max() < 1.0
  noise = cells - np.floor(cells)
  assert abs(noise.mean() - 1 / 2) < 5 / np.sqrt(12 * noise.size)
  assert abs(noise.var() - 1 / 12) < 5 / np.sqrt(180 * noise.size)


@pytest.mark.parametrize("binarise", ["fixed", "dynamic"])
def test_binarised_pixels_have_the_grey_level_as_mean(binarise):
  rows = 4000
  levels = jnp.array([0, 1, 64, 128, 254, 255], jnp.uint8).reshape(1, 2, 3, 1)
  batch = {
    "image": jnp.tile(levels, (rows, 1, 1, 1)),
    "index": jnp.arange(rows, dtype=jnp.int32),
  }
  got = images.prepare_batch(
    batch, jax.random.key(2), **{**OFF, "binarise": binarise}
  )["image"]
  got = np.asarray(got)
  assert set(np.unique(got)) == {0.0, 1.0}
  p = np.asarray(levels)[0] / 255
  tolerance = 5 * np.sqrt(p * (1 - p) / rows)
  assert (np.abs(got.mean(0) - p) <= tolerance).all()
  # Pixels of one row are drawn apart.
  both = np.mean(got[:, 0, 2] * got[:, 1, 0])
  assert abs(both - p[0, 2] * p[1, 0]) < 5 * 0.5 / np.sqrt(rows)


def test_fixed_binarisation_knows_the_index_alone():
  full = _batch(rows=8)
  some = {k: v[jnp.array([6, 2])] for k, v in full.items()}
  switches = {**OFF, "binarise": "fixed"}
  a = images.prepare_batch(full, jax.random.key(0), **switches)["image"]
  b = images.prepare_batch(some, jax.random.key(99), **switches)["image"]
  np.testing.assert_array_equal(a[jnp.array([6, 2])], b)
  moved = {**full, "index": full["index"] + 8}
  c = images.prepare_batch(moved, jax.random.key(0), **switches)["image"]
  assert (a != c).any()


def test_fixed_binarisation_ignores_the_default_generator():
  batch = _batch()
  keys = images.example_keys(batch["index"])
  assert str(jax.random.key_impl(keys)) == "threefry2x32"
  with jax.default_prng_impl("rbg"):
    other = images.example_keys(batch["index"])
  np.testing.assert_array_equal(
    jax.random.key_data(keys), jax.random.key_data(other)
  )


@pytest.mark.parametrize(
  "switch", [s for s in SWITCHES if s.get("binarise") != "fixed"]
)
def test_fresh_draws_differ_between_steps_and_rows(switch):
  side = 16
  pattern = np.arange(side * side, dtype=np.uint8).reshape(1, side, side, 1)
  batch = {
    "image": jnp.tile(pattern, (8, 1, 1, 1)),
    "index": jnp.full((8,), 4, jnp.int32),
  }
  draw = lambda key: images.prepare_batch(batch, key, **{**OFF, **switch})
  a = np.asarray(draw(jax.random.key(0))["image"])
  b = np.asarray(draw(jax.random.key(1))["image"])
  assert (a != b).any()
  assert (a != a[:1]).any()


def test_flips_mirror_about_half_of_the_rows_left_to_right():
  rows = 1000
  image = np.arange(12, dtype=np.uint8).reshape(1, 2, 3, 2)
  batch = {
    "image": jnp.tile(image, (rows, 1, 1, 1)),
    "index": jnp.zeros((rows,), jnp.int32),
  }
  got = images.prepare_batch(batch, jax.random.key(3), **{**OFF, "flip": True})[
    "image"
  ]
  plain = image * np.float32(1 / 255)
  mirrored = plain[:, :, ::-1]
  is_plain = (np.asarray(got) == plain).all((1, 2, 3))
  is_mirrored = (np.asarray(got) == mirrored).all((1, 2, 3))
  assert (is_plain ^ is_mirrored).all()
  assert abs(is_mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(rows)


@pytest.mark.parametrize("switch", SWITCHES)
def test_rows_do_not_depend_on_batch_size_or_devices(switch):
  batch = _batch(rows=8)
  switches = {**OFF, **switch}
  prepare = lambda b, key: images.prepare_batch(b, key, **switches)
  whole = jax.jit(prepare)(batch, jax.random.key(4))["image"]
  head = {k: v[:3] for k, v in batch.items()}
  part = jax.jit(prepare)(head, jax.random.key(4))["image"]
  np.testing.assert_array_equal(whole[:3], part)
  mesh = sharding.make_mesh()
  split = sharding.to_global(jax.tree.map(np.asarray, batch), mesh)
  over = sharding.compile(prepare, mesh)(split, jax.random.key(4))["image"]
  np.testing.assert_array_equal(whole, over)


def test_preparation_follows_the_config_and_flips_in_training_only():
  config = ml_collections.ConfigDict(
    {
      **{"flip": True, "dequantise": False, "binarise": "none"},
      **{"name": "digits", "count": 0},
    }
  )
  preparation = images.Preparation.from_config(config)
  assert preparation == images.Preparation(True, False, "none", 0)
  batch = _batch(rows=32)
  test = preparation(batch, jax.random.key(5), train=False)["image"]
  train = preparation(batch, jax.random.key(5), train=True)["image"]
  np.testing.assert_array_equal(test, images.scaled(batch["image"]))
  assert (test != train).any()


def test_flip_and_draw_use_keys_of_their_own():
  # With one key for both, the coin would say something about the pixels.
  batch = _batch(rows=16, side=8)
  switches = {**OFF, "binarise": "dynamic"}
  plain = images.prepare_batch(batch, jax.random.key(6), **switches)["image"]
  flip = images.prepare_batch(
    batch, jax.random.key(6), **{**switches, "flip": True}
  )["image"]
  same = (plain == flip).all((1, 2, 3))
  mirrored = (plain[:, :, ::-1] == flip).all((1, 2, 3))
  assert (same | mirrored).all() and same.any() and mirrored.any()


@pytest.mark.parametrize(
  ("fields", "match"),
  [
    ((False, False, "static", 0), "none, fixed, dynamic; got 'static'"),
    ((False, True, "fixed", 0), r"config\.data\.dequantise=False"),
    ((False, False, "fixed", 4), r"config\.data\.random_crop=0"),
  ],
)
def test_bad_preparation_names_the_way_out(fields, match):
  with pytest.raises(ValueError, match=match):
    images.Preparation(*fields)


def test_float_images_are_refused():
  batch = _batch()
  batch["image"] = batch["image"].astype(jnp.float32)
  with pytest.raises(AssertionError, match="uint8"):
    images.prepare_batch(batch, jax.random.key(0), **OFF)
