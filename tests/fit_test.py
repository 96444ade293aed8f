"""A prior that is fitted to a finished run, by --mode=fit."""

import pathlib

import jax
import numpy as np
import pytest

import genlat
from configs import run as runs
from genlat import command, train, workdir
from tests import shipped

ALONE = command.Peers("", 1, 0)
OPTIONS = command.Options("last", 4, 0, "")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
  """A finished autoencoder, that no prior was fitted to."""
  directory = tmp_path_factory.mktemp("run")
  config = shipped.config(
    "ae_mnist",
    "smoke",
    log__tensorboard=False,
    log__pictures=0,
    steps=2,
    prior__name="none",
  )
  train.train(config.lock(), directory)
  return directory


def mode(name: str, run: pathlib.Path, **changes) -> int:
  """The mode under the run's own configuration, overridden."""
  config = runs.get_config(str(run)).unlock()
  for key, value in changes.items():
    config.update_from_flattened_dict({key.replace("__", "."): value})
  return command.run(name, config.lock(), run, OPTIONS, ALONE)


def test_an_autoencoder_samples_from_the_prior_fitted_last(run):
  with pytest.raises(ValueError, match="--mode=fit"):
    genlat.load(run).sample(2)
  for name in ("gaussian", "flow"):
    assert mode("fit", run, prior__name=name) == 0
    model = genlat.load(run)
    assert model.prior is not None and model.prior.name == name
    assert model.sample(3).shape == (3, 16, 16, 1)


def test_a_flow_prior_of_other_sizes_is_fitted_and_remembered(run):
  changes = {
    "prior__name": "flow",
    "prior__lr": 3e-4,
    "prior__batch_size": 32,
    "flow__hidden": 12,
    "flow__blocks": 2,
    "flow__coupling": "additive",
    "flow__bins": 4,
    "flow__bound": 3.0,
    "flow__clamp": 1.5,
  }
  assert mode("fit", run, **changes) == 0
  assert workdir.read(run).config.flow.hidden == 16
  model = genlat.load(run)
  assert model.prior is not None
  law = vars(model.prior.law)
  assert {k: law[k.partition("__")[2]] for k in list(changes)[1:]} == {
    k: v for k, v in changes.items() if k != "prior__name"
  }
  widths = {x.shape[-1] for x in jax.tree.leaves(model.prior.params)}
  assert 12 in widths and 16 not in widths
  np.testing.assert_array_equal(model.sample(3), genlat.load(run).sample(3))
  assert mode("sample", run) == 0


@pytest.mark.parametrize(
  "name, changes, words",
  [
    ("fit", {"model__latent": 4}, ["model.latent: 6 -> 4"]),
    ("fit", {"flow__bn_momentum": 0.5}, ["flow.bn_momentum", "0.5"]),
    ("fit", {"flow__hidden": 0}, ["config.flow.hidden", "0"]),
    ("fit", {"flow__batch_norm": True}, ["config.flow.batch_norm=False"]),
    (
      "fit",
      {"prior__name": "gaussian", "flow__hidden": 12},
      ["flow.hidden: 16 -> 12"],
    ),
    ("fit", {"prior__name": "vamp"}, ["config.prior.name", "'vamp'"]),
    ("fit", {"prior__batch_size": 0}, ["config.prior.batch_size", "0"]),
    ("sample", {"flow__hidden": 12}, ["flow.hidden: 16 -> 12"]),
  ],
)
def test_what_no_fit_reads_is_refused(run, capsys, name, changes, words):
  before = {p.name: p.read_bytes() for p in (run / "priors").glob("*")}
  assert mode(name, run, **{"prior__name": "flow"} | changes) == 1
  (line,) = capsys.readouterr().err.strip().splitlines()
  assert line.startswith("genlat: error:")
  assert all(word in line for word in words), line
  assert before == {p.name: p.read_bytes() for p in (run / "priors").glob("*")}
