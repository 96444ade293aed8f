"""Laws of the classifier that scores samples, and of cluster agreement."""

import functools

import numpy as np
import pytest

from genlat import data
from genlat.metrics import classifier, clusters
from tests import shipped


@pytest.fixture
def digits(tmp_path, monkeypatch):
  """Train and test split of the digits, and a cache of their own."""
  monkeypatch.setenv("GENLAT_CACHE", str(tmp_path))
  config = shipped.config("glf_digits").data
  config.image_size = 8
  return [data.load(config, split) for split in ("train", "test")]


@pytest.fixture
def thin(monkeypatch):
  """A thinner network, of which no other test sees a program."""
  network = functools.partial(classifier.Classifier, channels=(16, 32))
  monkeypatch.setattr(classifier, "Classifier", network)
  classifier._compiled.cache_clear()
  yield
  classifier._compiled.cache_clear()


@pytest.mark.usefixtures("thin")
def test_it_learns_digits_and_is_trained_once(digits, tmp_path, capsys):
  train, test = digits
  judge = classifier.trained(train, 10, 80)
  held_out = test.read(np.arange(len(test)))
  parts = [held_out["image"][:200], held_out["image"][200:]]
  found = judge.logits(parts)
  assert found.shape == (len(test), 10)
  assert (found.argmax(1) == held_out["label"]).mean() > 0.8
  assert "80 steps" in judge.description
  capsys.readouterr()
  again = classifier.trained(train, 10, 80)
  assert "trains" not in capsys.readouterr().err
  np.testing.assert_array_equal(again.logits(parts), found)
  whole = again.logits([held_out["image"]])
  np.testing.assert_allclose(whole, found, rtol=1e-4, atol=1e-5)
  (file,) = (tmp_path / "classifiers").iterdir()
  file.write_bytes(b"torn")
  classifier.trained(train, 10, 1)
  assert classifier._read(file) is None
  assert "damaged" in capsys.readouterr().err


def test_a_source_without_labels_is_refused(digits):
  class Bare:
    name, fingerprint, classes = "bare", "0", ()

    def __len__(self):
      return 3

    def read(self, indices):
      """Images alone."""
      return {"image": np.zeros((len(indices), 8, 8, 1), np.uint8)}

  with pytest.raises(ValueError, match="bare has no labels"):
    classifier.trained(Bare(), 10, 1)


def logits(p):
  return np.log(np.asarray(p))


@pytest.mark.parametrize(
  "p,wanted",
  [
    ([[0.2, 0.8]] * 5, 1.0),
    (np.eye(7) * (1 - 1e-9) + 1e-10, 7.0),
    ([(0.9, 0.1), (0.1, 0.9)], 1.4449348),
    ([(0.7, 0.2, 0.1), (0.1, 0.6, 0.3)], 1.2275717),
  ],
)
def test_the_class_score_has_its_golden_values(p, wanted):
  np.testing.assert_allclose(
    classifier.class_score(logits(p)), wanted, rtol=1e-6
  )
  # Logits are free up to a constant, however large.
  moved = logits(p) + 900.0
  np.testing.assert_allclose(classifier.class_score(moved), wanted, rtol=1e-6)


def test_renamed_clusters_agree_wholly():
  labels = np.arange(60) % 3
  found = clusters.agreement((labels + 1) % 3, labels)
  np.testing.assert_allclose(list(found.values()), [1.0] * 3)


def test_a_split_label_is_pure_and_not_accurate():
  labels = np.repeat([0, 1], 50)
  own = np.where(labels == 0, np.arange(100) % 2, 2)
  found = clusters.agreement(own, labels)
  np.testing.assert_allclose((found["purity"], found["accuracy"]), (1.0, 0.75))
  assert 0.5 < found["nmi"] < 1.0


def test_one_cluster_knows_nothing():
  found = clusters.agreement(np.zeros(10, int), np.arange(10) % 2)
  np.testing.assert_allclose(list(found.values()), [0.5, 0.5, 0.0], atol=1e-9)
  with pytest.raises(ValueError, match="as many clusters as labels"):
    clusters.agreement(np.zeros(3, int), np.zeros(4, int))
