"""Squares at random places in training, central ones in all else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import data, evaluate, loading, run, sample, sharding, train
from genlat.data import crops, feeder, images
from genlat.data.source import ArraySource
from genlat.texts.told import Told
from tests import shipped

HIGH, WIDE, SIDE = 6, 9, 4


def _source(n: int = 40, colours: int = 3) -> ArraySource:
  """Images whose pixels name their place: row, column and image."""
  grid = np.indices((n, HIGH, WIDE)).transpose(1, 2, 3, 0).astype(np.uint8)
  return ArraySource(
    "places",
    {"image": grid[..., [1, 2, 0]][..., :colours], "label": np.arange(n) % 3},
    "abc",
    [f"number {i}" for i in range(n)],
  )


def _squares(batch: np.ndarray) -> np.ndarray:
  """Top and left of each square `[B, 2]`, once all its pixels are checked."""
  corners = batch[:, 0, 0, :2].astype(int)
  place = np.indices(batch.shape[1:3]).transpose(1, 2, 0)
  wanted = corners[:, None, None] + place
  np.testing.assert_array_equal(batch[..., :2], wanted)
  assert (batch[..., 2] == batch[:, :1, :1, 2]).all()
  return corners


def _cut(rows: int, key: int, side: int = SIDE) -> np.ndarray:
  batch = jnp.asarray(_source(rows).read(np.arange(rows))["image"])
  keys = images.row_keys(jax.random.key(key), rows)
  return np.asarray(images.cropped(batch, keys, side))


def test_random_squares_are_uniform_over_all_that_fit():
  rows = 3000
  got = _cut(rows, 0)
  assert got.shape == (rows, SIDE, SIDE, 3) and got.dtype == np.uint8
  places, counts = np.unique(_squares(got), axis=0, return_counts=True)
  tops, lefts = range(HIGH - SIDE + 1), range(WIDE - SIDE + 1)
  assert [tuple(p) for p in places] == list(itertools.product(tops, lefts))
  share = 1 / len(counts)
  error = 5 * np.sqrt(share * (1 - share) * rows)
  assert np.abs(counts - share * rows).max() < error
  assert got[:, 0, 0, 2].tolist() == (np.arange(rows) % 256).tolist()


def test_a_square_follows_from_its_key_and_may_be_the_whole_width():
  np.testing.assert_array_equal(_cut(9, 1), _cut(9, 1))
  assert (_squares(_cut(9, 1)) != _squares(_cut(9, 2))).any()
  corners = _squares(_cut(50, 3, HIGH))
  assert set(corners[:, 0]) == {0} and set(corners[:, 1]) == {0, 1, 2, 3}


def test_training_cuts_and_evaluation_leaves_what_is_cut_already():
  preparation = images.Preparation(False, False, "none", SIDE)
  batch = {k: jnp.asarray(v) for k, v in _source().read(np.arange(40)).items()}
  cut = preparation(batch, jax.random.key(0), train=True)
  levels = np.rint(np.asarray(cut["image"]) * 255).astype(int)
  assert len(np.unique(_squares(levels), axis=0)) > 5
  np.testing.assert_array_equal(cut["label"], batch["label"])
  whole = preparation(batch, jax.random.key(0), train=False)["image"]
  np.testing.assert_array_equal(whole, images.scaled(batch["image"]))


def test_without_squares_the_draws_of_older_runs_stay():
  batch = {"image": jnp.asarray(_source(8).read(np.arange(8))["image"])}
  flags = {"flip": True, "dequantise": True, "binarise": "none"}
  key = jax.random.key(4)
  got = images.prepare_batch(batch, key, **flags, random_crop=0)["image"]
  drawing, flipping = jax.random.split(key)
  wanted = images.dequantised(batch["image"], images.row_keys(drawing, 8))
  wanted = images.flipped(wanted, images.row_keys(flipping, 8))
  np.testing.assert_array_equal(got, wanted)


def test_both_feeders_on_any_devices_cut_the_same_squares():
  preparation = images.Preparation(True, False, "none", SIDE)
  found = []
  for kind, devices in itertools.product(("resident", "streaming"), (1, 4)):
    mesh = sharding.make_mesh(devices=jax.devices()[:devices])
    made = feeder.make_feeder(
      _source(),
      mesh,
      kind=kind,
      batch_size=8,
      seed=0,
      steps_per_call=1,
      resident_limit_gib=1.0,
      threads=1,
      prefetch=1,
    )

    def step(feed, at, made=made):
      key = jax.random.fold_in(jax.random.key(0), at)
      return preparation(made.batch(feed, at, 0), key, train=True)

    compiled = sharding.compile(step, mesh)
    found.append(
      [
        jax.device_get(compiled(made.feed(at), np.int32(at))["image"])
        for at in (0, 1, 7)
      ]
    )
    made.close()
  assert found[0][0].shape == (8, SIDE, SIDE, 3)
  for other in found[1:]:
    np.testing.assert_array_equal(found[0], other)


def test_a_central_view_is_the_middle_and_nothing_else_changes():
  source = _source()
  view = crops.central(source, SIDE)
  rows = np.array([7, 0, 39])
  got, whole = view.read(rows), source.read(rows)
  np.testing.assert_array_equal(got["image"], whole["image"][:, 1:5, 2:6])
  np.testing.assert_array_equal(got["label"], whole["label"])
  assert view.image_shape == (SIDE, SIDE, 3) and len(view) == len(source)
  assert view.captions(rows) == source.captions(rows)
  assert (view.name, view.classes) == (source.name, source.classes)
  prints = {crops.central(source, side).fingerprint for side in (0, 3, 4, 6)}
  assert len(prints) == 4 and source.fingerprint in prints


@pytest.mark.parametrize("side", [-1, HIGH + 1])
def test_a_square_that_no_image_holds_is_refused(side):
  match = rf"random_crop must be 0 .*1 to 6.*of places have 6 x 9.*got {side}"
  with pytest.raises(ValueError, match=match):
    crops.central(_source(), side)


def test_every_split_is_central_unless_asked_for_whole():
  config = shipped.config(
    "glf_digits", data__random_crop=4, data__validation=0.2
  ).data
  for split in data.SPLITS:
    whole = data.load(config, split, whole=True)
    central = data.load(config, split)
    assert whole.image_shape == (16, 16, 1) and len(whole) == len(central)
    rows = np.arange(5)
    np.testing.assert_array_equal(
      central.read(rows)["image"], whole.read(rows)["image"][:, 6:10, 6:10]
    )


def test_vectors_of_captions_stay_with_whole_images():
  source = _source()
  table = np.arange(80, dtype=np.float32).reshape(40, 2, 1)
  told = Told(crops.central(source, SIDE), table, "x")
  beside, rows = told.beside(source), np.array([3, 9])
  got = beside.read(rows)
  np.testing.assert_array_equal(got["image"], source.read(rows)["image"])
  np.testing.assert_array_equal(got["text"], table[rows])
  assert told.read(rows)["image"].shape == (2, SIDE, SIDE, 3)


def test_a_run_trains_on_squares_and_is_scored_on_central_ones(tmp_path):
  config = shipped.config(
    "glf_digits", "smoke", data__random_crop=4, data__validation=0.1
  )
  config.log.tensorboard = False
  config.steps = 2
  train.train(config.copy_and_resolve_references().lock(), tmp_path)
  model = loading.load(tmp_path)
  assert model.image_shape == (4, 4, 1)
  assert model.sample(2).shape == (2, 4, 4, 1)
  task = evaluate.describe(model, tmp_path)
  whole = data.load(config.data, "test", whole=True)
  middle = whole.read(np.arange(3))["image"][:, 6:10, 6:10]
  np.testing.assert_array_equal(next(task.batches())[:3], middle)
  assert task.shape == task.train.read(np.arange(1))["image"].shape[1:]
  assert np.isfinite(list(task.means().values())).all()
  assert sample.real_images(model.config, 3, 0).shape == (3, 4, 4, 1)
  made = run.prepare(model.config, tmp_path)
  feed = made.feeder.feed(0)
  assert made.feeder.batch(feed, jnp.int32(0), 0)["image"].shape[1] == 16
  assert made.train.image_shape == (4, 4, 1)
  made.feeder.close()


def test_a_configuration_without_the_key_is_without_squares():
  config = shipped.config("glf_digits").data
  del config.random_crop  # as in run.json of an older version
  assert data.load(config, "test").image_shape == (16, 16, 1)
  assert images.Preparation.from_config(config).random_crop == 0
