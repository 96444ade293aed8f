"""Laws of scenes that are composed on the device."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from data_layouts import settings, write_idx

import genlat
from genlat import data, evaluate, sharding, train
from genlat.data import composition, images, scenes
from genlat.metrics.scores import METRICS
from genlat.metrics.task import Unavailable
from tests import shipped

ROWS = 24
compose = jax.jit(composition.compose, static_argnums=2)


@pytest.fixture(scope="module")
def batch():
  """Digits of one grey level each, 4 x (row + 1); labels are rows."""
  levels = 4 * np.arange(1, ROWS + 1)
  plain = np.broadcast_to(levels[:, None, None, None], (ROWS, 28, 28, 1))
  return {
    "image": jnp.asarray(plain, jnp.uint8),
    "label": jnp.arange(ROWS),
    "index": jnp.arange(ROWS),
  }


def test_two_whole_digits_of_two_rows_add_up(batch):
  out = compose(batch, jax.random.key(0), "two_digits")
  image, rows = np.asarray(out["image"]), np.asarray(out["attribute"])
  assert image.shape == (ROWS, 60, 60, 1) and image.dtype == np.uint8
  assert "label" not in out
  np.testing.assert_array_equal(rows[:, 0], np.arange(ROWS))
  assert (rows[:, 0] != rows[:, 1]).all()
  # Nothing is lost at an edge, and no sum reaches white.
  total = 28 * 28 * 4 * (rows + 1).sum(1)
  np.testing.assert_array_equal(image.sum((1, 2, 3)), total)


def test_the_sum_of_two_digits_is_cut_at_white():
  white = {
    "image": jnp.full((ROWS, 28, 28, 1), 200, jnp.uint8),
    "label": jnp.zeros(ROWS, jnp.int32),
  }
  image = compose(white, jax.random.key(1), "two_digits")["image"]
  assert set(np.unique(image)) == {0, 200, 255}


def test_a_digit_stands_among_pieces_of_other_rows(batch):
  out = compose(batch, jax.random.key(2), "cluttered_mnist")
  assert out["image"].shape == (ROWS, 100, 100, 1)
  np.testing.assert_array_equal(out["label"], batch["label"])
  corners, pieces = [], []
  for row, image in enumerate(np.asarray(out["image"])[..., 0].astype(int)):
    level = 4 * (row + 1)
    own = np.lib.stride_tricks.sliding_window_view(image >= level, (28, 28))
    found = np.argwhere(own.all((-1, -2)))
    assert len(found), "the digit is there as a whole"
    corners.append(found[0])
    rest = image.sum() - 28 * 28 * level
    assert rest > 0 and rest % (4 * scenes.PIECE**2) == 0
    pieces.append(rest // (4 * scenes.PIECE**2))
  # Eight pieces of the mean of other rows' levels.
  assert abs(np.mean(pieces) / scenes.PIECES - (ROWS + 1) / 2) < 3
  spread = np.ptp(corners, axis=0)
  assert (spread > 50).all(), "places vary over the canvas"


def test_pieces_are_cut_anywhere_of_a_digit():
  columns = np.broadcast_to(np.arange(28)[None, :, None], (28, 28, 1))
  batch = {
    "image": jnp.asarray(np.stack([columns * 0, *[columns] * 15]), jnp.uint8),
    "label": jnp.zeros(16, jnp.int32),
  }
  image = compose(batch, jax.random.key(3), "cluttered_mnist")["image"][0]
  levels = set(np.unique(image))
  assert {1, 26} <= levels or len(levels) > 15


def test_a_scene_follows_from_key_and_row_on_any_number_of_devices(batch):
  one = compose(batch, jax.random.key(4), "cluttered_mnist")["image"]
  again = compose(batch, jax.random.key(4), "cluttered_mnist")["image"]
  other = compose(batch, jax.random.key(5), "cluttered_mnist")["image"]
  np.testing.assert_array_equal(one, again)
  assert (one != other).any((1, 2, 3)).all()
  mesh = sharding.make_mesh()
  split = sharding.to_global(jax.tree.map(np.asarray, batch), mesh)
  run = lambda b, k: composition.compose(b, k, "cluttered_mnist")
  over = sharding.compile(run, mesh)(split, jax.random.key(4))["image"]
  np.testing.assert_array_equal(one, over)


def test_one_row_has_no_other_digit(batch):
  one = {k: v[:1] for k, v in batch.items()}
  with pytest.raises(ValueError, match="batch_size"):
    composition.compose(one, jax.random.key(0), "two_digits")
  with pytest.raises(ValueError, match="scenes are"):
    composition.compose(batch, jax.random.key(0), "three_digits")


def test_a_scene_is_no_digit_and_has_no_fixed_draw(batch):
  scene = {"image": jnp.zeros((4, 100, 100, 1), jnp.uint8)}
  with pytest.raises(ValueError, match=r"config\.data\.count"):
    composition.compose(scene, jax.random.key(0), "cluttered_mnist")
  with pytest.raises(ValueError, match="binarise=dynamic"):
    images.Preparation(False, False, "fixed", 0, "two_digits")


def test_each_device_composes_its_own_rows(batch):
  prepare = images.Preparation(False, False, "none", 0, "cluttered_mnist")
  mesh = sharding.make_mesh()
  split = sharding.to_global(jax.tree.map(np.asarray, batch), mesh)
  run = lambda b, k: prepare(b, k, train=True)["image"]
  over = sharding.compile(run, mesh)(split, jax.random.key(4))
  rows = {shard.data.shape[0] for shard in over.addressable_shards}
  assert rows == {ROWS // mesh.size} and mesh.size > 1


def test_training_composes_and_evaluation_reads_fixed_scenes(tmp_path):
  labels = np.arange(12, dtype=np.uint8) % 10
  folder = write_idx(tmp_path, np.full((12, 28, 28), 9, np.uint8), labels)
  asked = settings("cluttered_mnist", folder)
  train, test = (data.build(asked, split) for split in ("train", "test"))
  assert train.image_shape == (100, 100, 1)
  assert data.fed(train).image_shape == (28, 28, 1) and data.fed(test) is test
  fixed = data.build(dataclasses.replace(asked, count=5), "train")
  assert data.fed(fixed) is fixed and len(fixed) == 5
  config = ml_collections.ConfigDict(
    {
      **{"name": asked.name, "count": 0, "flip": False},
      **{"dequantise": False, "binarise": "none"},
    }
  )
  anew = images.Preparation.from_config(config)
  digits = {
    k: jnp.asarray(v) for k, v in data.fed(train).read(np.arange(12)).items()
  }
  digits["index"] = jnp.arange(12)
  made = anew(digits, jax.random.key(0), train=True)
  assert made["image"].shape == (12, 100, 100, 1)
  assert made["image"].dtype == jnp.float32
  read = {"image": jnp.asarray(test.read(np.arange(3))["image"])}
  kept = anew(read, jax.random.key(0), train=False)["image"]
  assert kept.shape == (3, 100, 100, 1)
  config.count = 5
  assert images.Preparation.from_config(config).scene == ""


def test_no_digit_is_in_train_and_in_validation(tmp_path):
  count = 60
  levels = np.arange(1, count + 1, dtype=np.uint8)
  plain = np.broadcast_to(levels[:, None, None], (count, 28, 28))
  folder = write_idx(tmp_path, plain, levels % 10)
  asked = settings("two_digits", folder, validation=0.3)
  train, held = (data.build(asked, s) for s in ("train", "validation"))
  assert len(train) + len(held) == count
  digits = data.fed(train).read(np.arange(len(train)))["image"]
  ours = set(digits[:, 0, 0, 0])
  corners = held.read(np.arange(len(held)))["image"]
  theirs = set(np.unique(corners)) - {0}
  # A level of held-out scenes is that of a digit or the sum of two.
  alone = set(levels) - ours
  sums = {a + b for a in alone for b in alone}
  assert alone & theirs and theirs <= alone | sums


def test_a_run_composes_its_scenes_and_has_no_images_to_find_again(tmp_path):
  rng = np.random.default_rng(0)
  digits = rng.integers(256, size=(24, 28, 28)).astype(np.uint8)
  folder = write_idx(tmp_path, digits, np.arange(24, dtype=np.uint8) % 10)
  config = shipped.config("draw_two_digits", "smoke", steps=2)
  config.data.update({"name": "two_digits", "path": str(folder), "count": 0})
  config.data.image_size = 0
  config.batch_size = 4
  config.lock()
  train.train(config, tmp_path / "run")
  lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
  first = json.loads(lines[0])
  # Grey canvases: ln 2 a pixel of a scene.
  assert first["loss"] == pytest.approx(3600 * np.log(2), rel=0.02)
  task = evaluate.describe(genlat.load(tmp_path / "run"), tmp_path)
  with pytest.raises(Unavailable, match="composes scenes of its own"):
    METRICS["neighbours"](task)
