"""A finished run that makes images of captions."""

import dataclasses
import json
import pathlib
import shutil
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

import genlat
from experiments import aae_figures, aae_prompts
from genlat import command, data, evaluate, train, workdir
from genlat.data import synthetic
from genlat.metrics.card import MeasuredUnlike, read_score
from genlat.texts import told
from genlat.trained import UnknownWords
from tests import shipped
from tests.data_layouts import encoded, write_zip

ALONE = command.Peers("", 1, 0)
RED, BLUE = "a small red circle on white", "a large blue square on black"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
  """Two steps, then two more from the checkpoint."""
  directory = tmp_path_factory.mktemp("run")
  config = shipped.config(
    "lp_aae_text_shapes",
    "smoke",
    log__tensorboard=False,
    optimizer__lr=0.03,
    data__count=64,
  )
  first = None
  for steps in (2, 4):
    config.steps = steps
    train.train(config.copy_and_resolve_references().lock(), directory)
    encoder = (directory / told.ENCODER).read_bytes()
    first = first or encoder
    assert encoder == first  # trained once, then frozen
  return directory


@pytest.fixture(scope="module")
def model(run):
  """The run, loaded."""
  return genlat.load(run)


def captioned(path: pathlib.Path, count: int) -> pathlib.Path:
  """A .zip of pictures of one colour, with captions.csv beside them."""
  lines, files = ["file,caption"], {}
  for i in range(count):
    file, name = f"{i:02d}.png", ("red", "green", "blue")[i % 3]
    files[file] = encoded(np.asarray(Image.new("RGB", (24, 24), name)))
    lines += [f"{file},all is {name}", f"{file},{name} and no more"]
  return write_zip(path, {**files, "captions.csv": "\n".join(lines).encode()})


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_zip_of_captioned_images_serves_a_run(tmp_path, elsewhere):
  config = shipped.config(
    "lp_aae_text_flowers",
    "smoke",
    data__name="folder",
    data__path=str(captioned(tmp_path / "files.zip", 40)),
    log__tensorboard=False,
    steps=2,
  )
  source = data.load(config.data, "train")
  if elsewhere:
    made = np.random.default_rng(0).normal(size=(len(source), 12))
    made = made.astype(np.float32)
    config.text.vectors = str(tmp_path / "vectors.npz")
    np.savez(config.text.vectors, train=made)
  directory = tmp_path / "run"
  train.train(config.copy_and_resolve_references().lock(), directory)
  model = genlat.load(directory)
  assert (model.captions is None) == elsewhere
  assert (directory / told.ENCODER).exists() != elsewhere
  if elsewhere:
    with pytest.raises(ValueError, match="vectors that were made elsewhere"):
      model.sample(2, text=["all is red"])
    bank = np.asarray(model.state.frozen["captions"])
    assert all((row == made).all(1).any() for row in bank)
    assert model.sample(2, text=made[:2]).shape == (2, 16, 16, 3)
  else:
    assert model.sample(2, text=["all is red"]).shape == (2, 16, 16, 3)


def test_captions_choose_and_the_noise_stays(model):
  a = model.sample(4, seed=1, text=[RED])
  assert a.shape == (4, 16, 16, 3) and a.dtype == np.uint8
  mixed = model.sample(4, seed=1, text=[RED, BLUE])
  np.testing.assert_array_equal(mixed[::2], a[::2])
  assert not np.array_equal(mixed[1::2], a[1::2])
  vectors = model.captions.embed([RED])
  np.testing.assert_array_equal(model.sample(4, seed=1, text=vectors), a)
  np.testing.assert_array_equal(model.sample(4, seed=1, text=RED), a)


def test_what_is_asked_for_nothing_draws_from_the_training_s_captions(model):
  bank = np.asarray(model.state.frozen["captions"])
  assert bank.shape == (1024, model.text)
  length = np.linalg.norm(bank, axis=1)
  np.testing.assert_allclose(length, model.text**0.5, rtol=1e-4)
  assert len(np.unique(bank.round(4), axis=0)) > 30
  assert model.sample(3, seed=0).shape == (3, 16, 16, 3)


def test_the_command_line_takes_captions(run, tmp_path):
  config = workdir.read(run).config
  out = tmp_path / "samples.png"
  options = command.Options("last", 4, 0, str(out), "", (RED, BLUE))
  assert command.run("sample", config, run, options, ALONE) == 0
  with Image.open(out) as picture:
    assert picture.size == (2 * 16 + 2, 2 * 16 + 2)


def test_the_distance_of_samples_needs_no_caption(run, model):
  config = model.config.copy_and_resolve_references().unlock()
  config.evaluation.metrics = ("frechet", "reconstruction")
  config.evaluation.samples = 32
  config.evaluation.limit = 32
  config.weights.inception = "random"
  evaluate.evaluate(genlat.load(run, config=config.lock()), run)
  score = json.loads((run / "scores" / "4" / "frechet.json").read_text())
  assert score["card"]["sample_count"] == 32


def test_another_encoder_in_its_place_is_refused(run, model, tmp_path):
  copy = tmp_path / "copy"
  shutil.copytree(run, copy)
  vocabulary = dataclasses.replace(model.captions.vocabulary, length=99)
  other = dataclasses.replace(model.captions, vocabulary=vocabulary)
  other.write(copy / told.ENCODER)
  with pytest.raises(workdir.RunError, match="is not the encoder"):
    genlat.load(copy)


def test_what_is_refused_is_so_before_the_encoder_is_trained(tmp_path):
  config = shipped.config("lp_aae_text_shapes", "smoke", data__count=64)
  config.data.validation, config.checkpoint.best = 0.25, "beauty"
  with pytest.raises(ValueError, match=r"checkpoint.best must be one of mse"):
    train.train(config.lock(), tmp_path / "run")
  assert not (tmp_path / "run" / told.ENCODER).exists()


def test_a_run_that_lost_its_description_keeps_its_encoder(run, tmp_path):
  copy = tmp_path / "copy"
  shutil.copytree(run, copy)
  (copy / "run.json").unlink()
  encoder = (copy / told.ENCODER).read_bytes()
  config = shipped.config("lp_aae_text_shapes", "smoke", data__count=64)
  config.seed, config.log.tensorboard = 1, False
  with pytest.raises(workdir.RunError):
    train.train(config.lock(), copy)
  assert (copy / told.ENCODER).read_bytes() == encoder


def test_what_cannot_be_asked_is_refused(model):
  with pytest.raises(ValueError, match="no labels"):
    model.sample(2, labels=[1])
  with pytest.raises(ValueError, match="not both"):
    model.sample(2, labels=[1], text=[RED])
  with pytest.raises(ValueError, match=r"must be \[m, 12\]"):
    model.sample(2, text=np.zeros((1, 5), np.float32))
  for empty in ("", " ", [""], (RED, " ")):
    with pytest.raises(ValueError, match="an empty caption"):
      model.sample(2, text=empty)
  nothing = np.zeros((0, 12), np.float32)
  np.testing.assert_array_equal(model.sample(2, text=nothing), model.sample(2))


def test_words_that_no_caption_had_are_named(model):
  with pytest.warns(UnknownWords, match="data has 'mauve', 'zebra':"):
    model.sample(2, text=[RED, "A mauve zebra"])


def test_the_command_line_warns_of_them_in_one_line(model, capfd):
  others = []
  with warnings.catch_warnings():
    warnings.simplefilter("always")
    warnings.showwarning = lambda *seen, **_: others.append(str(seen[0]))
    with command.one_line() as failed:
      model.sample(2, text="A mauve zebra")
      warnings.warn("another's", stacklevel=1)
    warnings.warn("later", MeasuredUnlike, stacklevel=1)
  assert not failed() and others == ["another's", "later"]
  (line,) = capfd.readouterr().err.splitlines()
  assert line.startswith("genlat: warning: no caption of the training data")


class Judge:
  """Says of every image that it is of one class."""

  description, sha256 = "a judge", "0" * 64

  def __init__(self, classes: int, said: int) -> None:
    """The class among so many."""
    self.one = np.eye(classes, dtype=np.float32)[said]

  def logits(self, batches):
    """`[N, classes]`."""
    return np.concatenate([np.tile(self.one, (len(b), 1)) for b in batches])


SAID = aae_prompts.Judges(
  {"shape": Judge(6, 2), "colour": Judge(8, 5), "position": Judge(9, 0)}
)


def test_prompts_are_counted_pair_by_pair(model):
  test = data.load(model.config.data, "test")
  rows = aae_prompts.score(model, SAID, test, 1, 0)
  seen, unseen = (f"plain, pairs {k}" for k in ("in training", "never seen"))
  count = {name: rows[name]["images"] for name in (seen, unseen)}
  assert count == {seen: 48 - 6, unseen: model.config.data.withhold}
  for key, right in (("shape", 8), ("colour", 6), ("both", 1)):
    total = sum(rows[name][key] * count[name] for name in count)
    np.testing.assert_allclose(total, right)
  # Real images are judged by what they are, not by what was asked.
  real = test.read(np.arange(len(test)))["attribute"]
  for key, column, said in (("shape", 0, 2), ("place", 4, 0)):
    wanted = (real[:, column] == said).mean()
    np.testing.assert_allclose(rows["real test images"][key], wanted)


def test_the_scores_of_prompts_have_a_card(run, model, monkeypatch, capsys):
  monkeypatch.setattr(aae_prompts, "judges", lambda _, steps: SAID)
  flags = ["--n=1", "--draws=2"]
  monkeypatch.setattr("sys.argv", ["aae_prompts", str(run), *flags])
  aae_prompts.main()
  name, rows, card = read_score(run / "scores" / "4" / "prompts.json")
  test = data.load(model.config.data, "test")
  assert name == "prompts"
  real = aae_prompts.all_pairs(model)
  varied = aae_prompts.variety(model, SAID, real, 2, 0)
  assert rows == aae_prompts.score(model, SAID, test, 1, 0) | varied
  assert card.network == "a judge; a judge; a judge"
  assert card.sample_count == 3 * 48 + 2 * 48
  assert "pairs never seen" in capsys.readouterr().out


def test_judges_are_of_all_pairs(model, monkeypatch):
  asked = []

  def trained(source, classes, steps):
    asked.append((source.name, classes, len(source)))
    whole = source.read(np.arange(len(source)))["label"]
    assert set(whole) == set(range(classes))
    return Judge(classes, 0)

  monkeypatch.setattr(aae_prompts.classifier, "trained", trained)
  aae_prompts.judges(model, 7)
  assert [a[1] for a in asked] == [6, 8, 9]


class Brightness:
  """Says that the place of an image is the number of its first pixel."""

  def logits(self, batches):
    """`[N, 9]`."""
    first = np.concatenate([b[:, 0, 0, 0] for b in batches])
    return np.eye(9, dtype=np.float32)[first]


def test_variety_is_of_one_caption_and_not_between_them():
  said = aae_prompts.Judges({"position": Brightness()})
  images = np.zeros((2, 4, 1, 1, 1), np.uint8)
  images[1] = 8  # another caption, as constant
  row = aae_prompts.spread(said, images)
  assert (row["variance"], row["places"]) == (0.0, 1.0)
  images[1, :, 0, 0, 0] = [0, 0, 5, 5]
  row = aae_prompts.spread(said, images)
  variance = np.var([0, 0, 5, 5], ddof=1) / 255.0**2
  np.testing.assert_allclose(row["variance"], 0.5 * variance)
  np.testing.assert_allclose(row["places"], 0.5 * (1.0 + 2.0))


class Told:
  """Remembers what it was asked for, and gives black images."""

  def sample(self, n, seed, *, text):
    """uint8 `[n, 16, 16, 3]`."""
    del seed
    self.asked = text
    return np.zeros((n, 16, 16, 3), np.uint8)


def test_variety_of_real_images_is_that_of_the_scenes_asked_for():
  source = synthetic.ShapeSource("train", 3000, 16)
  model: Any = Told()
  rows = aae_prompts.variety(model, SAID, source, 2, 0)
  assert model.asked[::2] == model.asked[1::2]
  asked = model.asked[::2]
  sizes = [sum(size in line for line in asked) for size in synthetic.SIZES]
  assert sizes == [16, 16, 16] and len(set(asked)) == 48
  assert rows["one caption"]["variance"] == 0.0
  batch = source.read(np.arange(3000))
  lines = source.captions(np.arange(3000))
  said = np.array([own.splitlines()[0] for own in lines])
  variance = []
  for line in asked:
    images = batch["image"][said == line][:2] / 255.0
    variance.append(np.square(images[0] - images[1]).mean() / 2.0)
  real = rows["its scene, real"]
  assert real["captions"] == 48
  np.testing.assert_allclose(real["variance"], np.mean(variance))


def test_scenes_with_too_few_real_images_are_left_out_of_theirs_alone(model):
  real = aae_prompts.all_pairs(model)
  rows = aae_prompts.variety(model, SAID, real, 2, 0)
  assert rows["one caption"]["captions"] == 48
  attributes = real.read(np.arange(len(real)))["attribute"][:, :4]
  scenes, count = np.unique(attributes, axis=0, return_counts=True)
  twice = {tuple(row) for row in scenes[count >= 2].tolist()}
  sizes = lambda pair: (8 * pair[0] + pair[1]) % 3  # sizes in turn
  pairs = {row[:2] for row in twice if row[2] == sizes(row)}
  found = rows["its scene, real"]["captions"]
  assert found == len(pairs) and 0 < found < 48


def test_prompts_name_every_pair_and_no_ground_of_the_same_colour():
  lines, asked = aae_prompts.prompts(2, aae_prompts.REWORDED)
  assert len({tuple(pair) for pair in asked}) == 48
  for line, (shape, colour) in zip(lines, asked, strict=True):
    assert f"one {list(synthetic.COLOURS)[colour]} " in line
    assert synthetic.SHAPES[shape] in line
    assert not line.endswith(f" plain {list(synthetic.COLOURS)[colour]}")


def test_a_sweep_changes_one_word_and_no_noise(model):
  words = ["red", "blue"]
  sheet = aae_figures.sweep(model, "a small {} circle on white", words, 3, 1)
  assert sheet.shape == (6, 16, 16, 3)
  alone = model.sample(3, seed=1, text=["a small blue circle on white"])
  np.testing.assert_array_equal(sheet[1::2], alone)
  with pytest.raises(ValueError, match="must hold"):
    aae_figures.sweep(model, "a red circle", words, 3, 1)
