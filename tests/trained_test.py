"""A finished run as a user holds it: the Python door and the command line."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

import genlat
from genlat import command, data, loading, train, workdir
from genlat.metrics.card import read_score
from genlat.metrics.extractors import random_extractor
from genlat.metrics.features import extract
from genlat.metrics.frechet import from_features
from tests import shipped

ALONE = command.Peers("", 1, 0)
CHANGES = {
  "data__validation": 0.25,
  "checkpoint__best": "loss",
  "log__tensorboard": False,
  "weights__inception": "random",
  "steps": 6,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
  """A finished GLF run with a validation split."""
  directory = tmp_path_factory.mktemp("run")
  config = shipped.config("glf_digits", "smoke", **CHANGES)
  train.train(config.lock(), directory)
  return directory


@pytest.fixture(scope="module")
def model(run):
  """The run, loaded."""
  return genlat.load(run)


def digits(n: int = 5) -> np.ndarray:
  config = shipped.config("glf_digits", "smoke")
  return data.load(config.data, "test").read(np.arange(n))["image"]


def mode(
  name: str, run: pathlib.Path, out: str = "", n: int = 4, seed: int = 0
):
  config = workdir.read(run).config
  options = command.Options("last", n, seed, out)
  assert command.run(name, config, run, options, ALONE) == 0


def test_samples_are_uint8_and_repeat_and_begin_alike(model):
  # After six steps images are grey all over: stronger kernels tell them apart.
  params = model.state.params
  decoder = jax.tree.map(lambda a: 5.0 * a, params["decoder"])
  state = model.state.replace(params={**params, "decoder": decoder})
  model = dataclasses.replace(model, state=state)
  a = model.sample(3, seed=1)
  assert (a.dtype, a.shape) == (np.uint8, (3, 16, 16, 1))
  np.testing.assert_array_equal(a, model.sample(3, seed=1))
  np.testing.assert_array_equal(a, model.sample(70, seed=1)[:3])
  assert model.sample(70, seed=1).shape[0] == 70
  assert not np.array_equal(a, model.sample(3, seed=2))


def test_reconstruct_is_decode_of_encode_for_any_number(model):
  images = digits()
  codes = model.encode(images)
  assert codes.shape == (5, 6)
  np.testing.assert_array_equal(model.decode(codes), model.reconstruct(images))
  np.testing.assert_allclose(codes[:2], model.encode(images[:2]), rtol=1e-5)


def test_interpolations_begin_and_end_at_reconstructions(model):
  images = digits(4)
  paths = model.interpolate(images[:2], images[2:], steps=5)
  assert paths.shape == (2, 5, 16, 16, 1)
  copies = model.reconstruct(images)
  np.testing.assert_array_equal(paths[:, 0], copies[:2])
  np.testing.assert_array_equal(paths[:, -1], copies[2:])


def test_images_of_another_kind_are_refused(model):
  with pytest.raises(ValueError, match=r"uint8 \[N, 16, 16, 1\]; got float"):
    model.encode(digits().astype(np.float32))
  with pytest.raises(ValueError, match="got uint8"):
    model.encode(digits()[:, :8])


def test_best_is_the_lowest_validation_loss_and_steps_can_be_named(run):
  lines = (run / "metrics.jsonl").read_text().splitlines()
  log = [json.loads(line) for line in lines]
  losses = {x["step"]: x["loss"] for x in log if x["split"] == "validation"}
  assert set(losses) == {2, 4, 6}
  best = min(losses, key=lambda step: losses[step])
  assert genlat.load(run, "best").step == best
  assert genlat.load(run, 4).step == 4
  assert genlat.load(run).step == 6


def test_every_mode_reads_the_run_and_writes_its_file(run, tmp_path):
  for name in ("sample", "reconstruct", "interpolate"):
    for suffix in ("png", "npz"):
      out = tmp_path / f"{name}.{suffix}"
      mode(name, run, str(out))
      assert out.stat().st_size > 100
  with np.load(tmp_path / "sample.npz") as file:
    np.testing.assert_array_equal(file["images"], genlat.load(run).sample(4))
  with np.load(tmp_path / "interpolate.npz") as file:
    assert file["images"].shape == (4, 8, 16, 16, 1)


def test_evaluation_stores_each_score_with_its_card(run):
  mode("evaluate", run)
  found = {}
  for path in (run / "scores" / "6").glob("*.json"):
    name, value, card = read_score(path)
    found[name] = value
    assert card.split == "test" and card.normalisation == "average"
  assert set(found) == {
    "reconstruction",
    "likelihood",
    "flow_nll",
    "neighbours",
    "frechet",
  }
  assert found["frechet"]["frechet"] == pytest.approx(distance(run), rel=1e-4)
  assert found["flow_nll"]["flow_nll"] == pytest.approx(
    found["likelihood"]["flow_nll"]
  )
  model, images = genlat.load(run), digits(64)
  error = model.reconstruct(images) / 255.0 - images / 255.0
  assert found["reconstruction"]["mse"] == pytest.approx(
    np.square(error).mean(), rel=1e-4
  )


def distance(run: pathlib.Path) -> float:
  """Between 64 samples and the first 64 test images, random features."""
  extractor = random_extractor("tf1")
  pair = [genlat.load(run).sample(64), digits(64)]
  return from_features(*(extract(extractor, [images]) for images in pair))


def test_a_score_does_not_depend_on_the_batch_it_is_computed_in(run):
  scores = []
  for size in (8, 64, 28):
    config = workdir.read(run).config.copy_and_resolve_references().unlock()
    config.evaluation.batch_size = size
    config.evaluation.limit = 50
    config.evaluation.metrics = ("likelihood", "reconstruction")
    options = command.Options("last", 4, 0, "")
    assert command.run("evaluate", config.lock(), run, options, ALONE) == 0
    values = [
      read_score(run / "scores" / "6" / f"{name}.json")[1]
      for name in ("likelihood", "reconstruction")
    ]
    scores.append((values[0]["reconstruction"], values[1]["mse"]))
  np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
  np.testing.assert_allclose(scores[0], scores[2], rtol=1e-5)


def test_a_vae_reports_its_bound_in_nats_and_bits(tmp_path):
  config = shipped.config(
    "vae_binary_mnist",
    "smoke",
    log__tensorboard=False,
    log__every=20,
    log__pictures=0,
    checkpoint__every=60,
    steps=60,
  )
  train.train(config.lock(), tmp_path)
  mode("evaluate", tmp_path)
  folder = tmp_path / "scores" / "60"
  _, terms, _ = read_score(folder / "likelihood.json")
  assert isinstance(terms, dict)
  assert terms["elbo_nats"] < terms["importance_bound_nats"] < 0.0
  dimensions = 16 * 16
  assert terms["elbo_bits_per_dim"] == pytest.approx(
    -terms["elbo_nats"] / (dimensions * np.log(2)), rel=1e-5
  )
  # One draw each: the same bound up to the noise of the draws.
  assert -terms["negative_elbo"] == pytest.approx(terms["elbo_nats"], rel=0.02)
  _, codes, _ = read_score(folder / "codes.json")
  assert isinstance(codes, dict) and codes["dimensions"] == 6


def test_a_prior_of_other_sizes_leaves_the_methods_own_flow(run):
  before = genlat.load(run)
  config = workdir.read(run).config.copy_and_resolve_references().unlock()
  config.prior.name, config.prior.batch_size = "flow", 64
  config.flow.hidden = 8
  train.fit(config.lock(), run, "last")
  config = workdir.read(run).config.copy_and_resolve_references().unlock()
  config.prior.name = "flow"
  model = loading.load(run, config=config.lock())
  assert model.prior is not None and model.prior.law.hidden == 8
  assert model.sample(3).shape == (3, 16, 16, 1)
  np.testing.assert_array_equal(before.sample(3), genlat.load(run).sample(3))
