"""A finished run whose samples may be asked for by label."""

import ast
import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

import genlat
from experiments import aae_figures, aae_table, table
from genlat import command, data, evaluate, grids, train, workdir
from genlat.methods import aae_rules
from genlat.metrics import scores
from tests import shipped

ALONE = command.Peers("", 1, 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
  """A finished learned prior given labels, on digits."""
  directory = tmp_path_factory.mktemp("run")
  config = shipped.config(
    "lp_aae_supervised_mnist",
    "smoke",
    log__tensorboard=False,
    steps=4,
    optimizer__lr=0.03,
    evaluation__metrics=("classes", "clusters", "diversity"),
    evaluation__samples=40,
  )
  config.data.image_size = 8
  train.train(config.lock(), directory)
  return directory


@pytest.fixture(scope="module")
def model(run):
  """The run, loaded."""
  return genlat.load(run)


def test_labels_choose_and_the_noise_stays(model):
  assert model.classes == 10
  a = model.sample(5, seed=1, labels=[3])
  np.testing.assert_array_equal(a, model.sample(5, seed=1, labels=[3] * 5))
  mixed = model.sample(4, seed=1, labels=[3, 7])
  np.testing.assert_array_equal(mixed[::2], a[:4:2])
  other = model.sample(5, seed=1, labels=[7])
  np.testing.assert_array_equal(mixed[1::2], other[1:4:2])
  assert not np.array_equal(a, other)


def test_the_sheet_has_one_noise_a_row_and_one_label_a_column(model):
  sheet = model.class_sheet(3, seed=2)
  assert sheet.shape == (3, 10, 8, 8, 1)
  for k in (0, 9):
    wanted = model.sample(3, seed=2, labels=[k])
    np.testing.assert_array_equal(sheet[:, k], wanted)


def test_codes_of_samples_decode_to_them(model):
  codes = model.sample_codes(5, seed=1, labels=[3])
  images = model.sample(5, seed=1, labels=[3])
  np.testing.assert_array_equal(model.decode(codes), images)


@pytest.mark.parametrize("labels", [[10], [-1], [0, 11]])
def test_labels_that_there_are_not_are_named(model, labels):
  with pytest.raises(ValueError, match="labels 0 to 9; got"):
    model.sample(2, labels=labels)


def test_the_run_draws_its_classes(run):
  pictures = sorted((run / "images").glob("classes*.png"))
  with Image.open(pictures[-1]) as picture:
    assert picture.size == (10 * 8 + 11 * 2, 10 * 8 + 11 * 2)


def options(out: pathlib.Path, labels: str) -> command.Options:
  return command.Options("last", 4, 0, str(out), labels)


def test_the_command_line_takes_labels(run, model, tmp_path, capsys):
  config = workdir.read(run).config
  out = tmp_path / "five.npz"
  assert command.run("sample", config, run, options(out, "5"), ALONE) == 0
  with np.load(out) as arrays:
    wanted = model.sample(4, labels=[5])
    np.testing.assert_array_equal(arrays["images"], wanted)
  capsys.readouterr()
  assert command.run("sample", config, run, options(out, "five"), ALONE) == 1
  assert "--labels must be numbers" in capsys.readouterr().err


def test_classes_clusters_and_diversity_are_scored(run, tmp_path, monkeypatch):
  monkeypatch.setenv("GENLAT_CACHE", str(tmp_path))
  config = workdir.read(run).config
  assert command.run("evaluate", config, run, options(tmp_path, ""), ALONE) == 0
  found = {
    path.stem: json.loads(path.read_text())
    for path in (run / "scores" / "4").glob("*.json")
  }
  assert set(found) == {"classes", "clusters", "diversity"}
  values = found["classes"]["value"]
  assert 1.0 <= values["class_score"] <= 10.0
  assert 0.0 <= values["label_accuracy"] <= 1.0
  assert "trained by genlat" in found["classes"]["card"]["network"]
  assert set(found["clusters"]["value"]) == {"accuracy", "purity", "nmi"}
  assert 0.0 <= found["diversity"]["value"]["ms_ssim"] <= 1.0
  # Copies without error are named as their images are.
  task = evaluate.describe(genlat.load(run), tmp_path)
  perfect = dataclasses.replace(task, reconstruct=lambda images: images)
  copied, _ = scores.classes(perfect)
  assert copied["reconstruction_accuracy"] == copied["classifier_accuracy"]
  assert copied["classifier_accuracy"] == values["classifier_accuracy"]
  assert 0.0 <= values["reconstruction_accuracy"] <= 1.0


def test_codes_of_prior_and_images_are_embedded_together(model, tmp_path):
  points, labels, made = aae_figures.embedded(model, 40, seed=0)
  assert points.shape == (80, 2) and np.isfinite(points).all()
  assert made[:40].all() and not made[40:].any()
  np.testing.assert_array_equal(labels[:40], np.arange(40) % 10)
  images = data.load(model.config.data, "test").read(np.arange(40))
  np.testing.assert_array_equal(labels[40:], images["label"])
  aae_figures.draw(tmp_path / "codes.png", points, labels, made)
  with Image.open(tmp_path / "codes.png") as picture:
    assert picture.size == (1800, 600)
  with pytest.raises(ValueError, match="test images"):
    aae_figures.embedded(model, 10**6, seed=0)


@pytest.mark.parametrize("figure", ["prior", "classes"])
def test_sheets_have_the_paper_s_gutters(
  run, model, figure, tmp_path, monkeypatch
):
  out = tmp_path / "sheet.png"
  flags = [figure, f"--workdir={run}", f"--out={out}", "--seed=3"]
  monkeypatch.setattr("sys.argv", ["aae_figures", *flags])
  aae_figures.main()
  with Image.open(out) as picture:
    sheet = np.asarray(picture)
  side = model.image_shape[0] + grids.GAP
  assert sheet.shape[:2] == (10 * side + grids.GAP,) * 2
  gutters = np.r_[0:2, side : side + 2]
  assert not sheet[gutters].any() and not sheet[:, gutters].any()
  # Row 1, column 2: the second noise, and the third label where there are any.
  wanted = model.sample(100, seed=3)[12]
  if figure == "classes":
    wanted = model.sample(10, seed=3, labels=[2])[1]
  tile = sheet[side + 2 : 2 * side, 2 * side + 2 : 3 * side]
  np.testing.assert_array_equal(tile.reshape(wanted.shape), wanted)


def test_presets_reach_every_row_of_a_table():
  parser = table.arguments("", aae_table.ROWS)
  args = parser.parse_args(["--runs=runs", "--presets=eighth", "--epochs=5"])
  for row in aae_table.ROWS:
    flag, *rest = table._changes(row, args)
    file, _, words = flag.partition(":")
    assert file == f"--config=configs/{row.config.partition(':')[0]}"
    assert words.split(",")[-1] == "eighth"
    assert rest == [*row.changes, "--config.epochs=5.0"]
  args = parser.parse_args(["--runs=runs"])
  assert table._changes(row, args) == [f"--config=configs/{row.config}"]


def test_presets_are_thinner_networks():
  thin = shipped.config("ablation_abc", "mnist,eighth")
  assert thin.aae.code_hidden == (128, 64)
  assert thin.model.channels == (8, 16, 32, 64)
  assert thin.aae.image_channels == (8, 16, 32) and thin.aae.trunk == 128
  told = shipped.config("lp_aae_text_shapes", "quarter")
  assert told.aae.image_channels == (32, 64, 128)
  assert told.aae.text_hidden == 128 and told.aae.code_hidden == (256, 128)
  assert told.model.channels == (16, 32, 64, 128)


def test_the_same_losses_have_the_published_prior():
  assert shipped.config("lp_aae_unsupervised_mnist").aae.scale == 0.3
  assert shipped.config("lp_aae_unsupervised_mnist", "same").aae.scale == 1.0


def test_rows_of_the_table_have_configurations():
  names = [row.name for row in aae_table.ROWS]
  assert len(set(names)) == len(names)
  for row in aae_table.ROWS:
    file, _, words = row.config.partition(":")
    changes = {
      key.removeprefix("--config.").replace(".", "__"): ast.literal_eval(value)
      for key, value in (flag.split("=") for flag in row.changes)
    }
    config = shipped.config(file.removesuffix(".py"), words, **changes)
    assert config.data.name == row.dataset
    aae_rules.check(config)
