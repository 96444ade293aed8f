"""Scores carry their protocol, and unlike protocols are told."""

import dataclasses
import json
import subprocess

import jax
import numpy as np
import pytest

from genlat import evaluate, sharding
from genlat.metrics import card as cards
from genlat.metrics.card import Card, MeasuredUnlike
from genlat.trained import Trained
from tests import shipped


@pytest.fixture(scope="module")
def card():
  return Card(
    network="inception-2015-12-05/2048",
    sha256="3a69",
    resize="tf1",
    quantisation="uint8",
    reference="mnist abc",
    split="test",
    reference_count=10000,
    sample_count=10000,
    ema=False,
    normalisation="average",
    sampler="prior",
    seed=0,
  )


def other(value):
  if isinstance(value, bool):
    return not value
  return value + 1 if isinstance(value, int) else value + " of another kind"


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Card)])
def test_every_difference_of_protocol_is_named(card, field):
  changed = {field: other(getattr(card, field))}
  unlike = cards.comparable(card, dataclasses.replace(card, **changed))
  free = ("seed", "model", "commit", "hardware", "jax_version")
  assert unlike == ([] if field in free else [field])


def test_unlike_scores_warn_and_like_ones_do_not(card):
  assert not cards.warn_if_unlike(card, dataclasses.replace(card, seed=1))
  clean = dataclasses.replace(card, resize="clean", sample_count=50000)
  with pytest.warns(MeasuredUnlike, match="two values of fid") as record:
    assert cards.warn_if_unlike(card, clean, "fid")
  message = str(record[0].message)
  assert "resize 'tf1' against 'clean'" in message
  assert "sample_count 10000 against 50000" in message


def described(name, folder, **changes):
  config = shipped.config(name, "smoke", data__name="digits", **changes)
  method = shipped.build(config)
  shapes = jax.eval_shape(method.init, jax.random.key(0), {})
  state = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
  shape = shipped.image_shape(config)
  model = Trained(config, method, state, shape, sharding.make_mesh(1))
  return evaluate.describe(model, folder).card


def test_two_methods_on_one_data_set_are_measured_alike(tmp_path):
  glf = described("glf_mnist", tmp_path)
  vae = described("vae_mnist", tmp_path)
  assert glf.model.startswith("glf, ") and vae.model.startswith("vae, ")
  assert glf.model.endswith(" weights")
  assert glf.sampler == vae.sampler == "the model's prior"
  assert not cards.comparable(glf, vae)
  assert not described("ae_mnist", tmp_path).sampler
  batch = described("vae_mnist", tmp_path, evaluation__batch_statistics=True)
  assert cards.comparable(vae, batch) == ["normalisation"]


def test_a_score_comes_back_with_its_card(card, tmp_path):
  path = tmp_path / "scores" / "fid.json"
  cards.write_score(path, "fid", 1.0, card)
  cards.write_score(path, "fid", 21.3, card)
  assert cards.read_score(path) == ("fid", 21.3, card)
  assert [p.name for p in path.parent.iterdir()] == ["fid.json"]
  record = json.loads(path.read_text())
  assert record["value"] == 21.3
  assert record["card"]["resize"] == "tf1"
  path.write_text('{"name": "fid"')
  with pytest.raises(ValueError, match="no score with its card"):
    cards.read_score(path)


def test_a_failed_write_keeps_the_old_score(card, tmp_path, monkeypatch):
  path = tmp_path / "fid.json"
  cards.write_score(path, "fid", 1.0, card)

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(cards.os, "replace", full)
  with pytest.raises(OSError, match="No space"):
    cards.write_score(path, "fid", 2.0, card)
  assert cards.read_score(path)[1] == 1.0
  assert len(list(tmp_path.iterdir())) == 1


def test_provenance_is_filled_in(card, monkeypatch):
  assert card.jax_version == jax.__version__
  assert card.hardware == "4 x cpu (cpu)"
  assert card.commit

  def no_git(*_, **__):
    raise FileNotFoundError("git")

  monkeypatch.setattr(subprocess, "run", no_git)
  assert cards.code_version().startswith(("genlat ", "unknown"))
