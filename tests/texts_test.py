"""Laws of captions: words, the ranking loss, the encoder, told sources."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from data_layouts import settings
from ml_collections import ConfigDict

from genlat import data
from genlat.data import synthetic
from genlat.losses import ranking
from genlat.nets.caption import CaptionEncoder
from genlat.texts import captions, told
from genlat.texts.vocabulary import UNKNOWN, Vocabulary, sentences, words

RECIPE = captions.Recipe(
  size=16, steps=3, batch_size=16, lr=1e-3, margin=0.2, forget=0.1, seed=0
)


def shapes(count: int = 64) -> data.Source:
  return data.build(settings("shapes", image_size=16, count=count), "train")


def test_words_are_small_letters_without_punctuation():
  assert words("A Large, RED bird's-eye; café!") == [
    *("a", "large", "red", "bird's-eye", "café")
  ]
  assert sentences("one\n\n two \n") == ["one", " two "]


def test_known_words_have_numbers_of_their_own_and_others_share_one():
  known = Vocabulary.of(["a red circle", "a blue one"])
  assert known.length == 3 and len(known) == 2 + 5
  tokens, lengths = known.encode(["a red square", "", "a a a a a", "One a"])
  assert tokens[0, 2] == UNKNOWN and (tokens[0, :2] > UNKNOWN).all()
  np.testing.assert_array_equal(lengths, [3, 1, 5, 2])
  assert tokens.shape == (4, 6)
  assert tokens[1, 0] == UNKNOWN and tokens[3, 2] == 0
  numbers, _ = known.encode(["red", "blue", "circle", "one", "a"])
  assert len(set(numbers[:, 0])) == 5


def test_the_hinge_is_that_of_loops():
  rng = np.random.default_rng(0)
  x, t = rng.normal(size=(2, 5, 4))
  same = np.eye(5, dtype=bool)
  same[1, 3] = same[3, 1] = True
  same[0, 4] = True  # text 4 is one of image 0, and text 0 none of image 4
  cos = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
  terms = []
  for i in range(5):
    for j in range(5):
      if not same[i, j]:
        right = cos(x[i], t[i])
        terms.append(0.4 - right + cos(x[i], t[j]))
        # The wrong image of caption j is i.
        terms.append(0.4 - cos(x[j], t[j]) + cos(x[i], t[j]))
  got = ranking.cosine_hinge(
    jnp.asarray(x), jnp.asarray(t), 0.4, jnp.asarray(same)
  )
  pushing = [term for term in terms if term > 0]
  assert 0 < len(pushing) < len(terms)
  np.testing.assert_allclose(got, np.mean(pushing), rtol=1e-5)


def test_the_hinge_ends_where_right_pairs_lead_by_the_margin():
  x = jnp.eye(3)
  same = jnp.eye(3, dtype=bool)
  assert float(ranking.cosine_hinge(x, 5.0 * x, 1.0, same)) == 0.0
  assert float(ranking.cosine_hinge(x, x[::-1], 0.2, same)) > 0.2
  alone = ranking.cosine_hinge(x, x, 0.2, jnp.ones((3, 3), bool))
  assert float(alone) == 0.0
  slope = jax.grad(lambda x: ranking.unit(x).sum())(jnp.zeros((1, 3)))
  assert np.isfinite(slope).all()


def test_the_encoder_is_the_mean_of_a_gru_s_states_up_to_the_last_word():
  net = CaptionEncoder(words=7, outputs=4)
  tokens = jnp.array([[2, 5, 3, 0], [6, 0, 0, 0]])
  lengths = jnp.array([3, 1])
  variables = net.init(jax.random.key(0), tokens, lengths)
  got = net.apply(variables, tokens, lengths)
  filled = net.apply(variables, jnp.where(tokens == 0, 4, tokens), lengths)
  np.testing.assert_array_equal(got, filled)
  p = jax.tree.map(np.asarray, variables["params"])
  table, cell = p["words"]["embedding"], p["gru"]
  sigmoid = lambda a: 1.0 / (1.0 + np.exp(-a))
  # Cho et al. 2014 (arXiv:1406.1078), the reset gate after the product.
  dense = lambda name, a: a @ cell[name]["kernel"] + cell[name].get("bias", 0.0)
  for row, count in enumerate((3, 1)):
    h, states = np.zeros(4), []
    for token in tokens[row, :count]:
      v = table[token]
      reset = sigmoid(dense("ir", v) + dense("hr", h))
      update = sigmoid(dense("iz", v) + dense("hz", h))
      new = np.tanh(dense("in", v) + reset * dense("hn", h))
      h = (1.0 - update) * new + update * h
      states.append(h)
    mean = np.mean(states, 0)
    np.testing.assert_allclose(got[row], mean, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def encoder() -> captions.Captions:
  return captions.train(shapes(), RECIPE, lambda line: None)


def test_vectors_have_one_length_and_follow_the_words(encoder):
  got = encoder.embed(["a small red circle on blue", "on blue", ""])
  assert got.shape == (3, 16)
  np.testing.assert_allclose(np.linalg.norm(got, axis=1), 4.0, rtol=1e-5)
  assert not np.allclose(got[0], got[1])
  # A prompt may be longer than any caption of the training.
  long = "please draw me a very nice picture of a small circle on plain"
  a, b = encoder.embed([f"{long} red", f"{long} blue"])
  assert not np.allclose(a, b)
  many = encoder.embed(["on blue"] * (captions.CHUNK + 1))
  np.testing.assert_allclose(many, np.broadcast_to(got[1], many.shape), 1e-5)


def test_a_long_training_says_how_far_it_is(monkeypatch):
  monkeypatch.setattr(captions, "PATIENCE", 0.0)
  said: list[str] = []
  captions.train(
    shapes(8), captions.Recipe(**{**vars(RECIPE), "steps": 3}), said.append
  )
  assert [
    re.findall(r"step (\d)/3, hinge \d", line) for line in said[1:-1]
  ] == [["0"], ["1"], ["2"]]


def test_training_repeats_and_a_file_gives_the_encoder_back(encoder, tmp_path):
  again = captions.train(shapes(), RECIPE, lambda line: None)
  assert again.sha256 == encoder.sha256
  other = captions.Recipe(**{**vars(RECIPE), "seed": 1})
  assert captions.train(shapes(), other, print).sha256 != encoder.sha256
  encoder.write(tmp_path / "captions.npz")
  back = captions.read(tmp_path / "captions.npz")
  assert back.sha256 == encoder.sha256
  assert back.vocabulary == encoder.vocabulary
  lines = ["a large cross", "unheard of"]
  np.testing.assert_array_equal(back.embed(lines), encoder.embed(lines))
  (tmp_path / "cut.npz").write_bytes(
    (tmp_path / "captions.npz").read_bytes()[:500]
  )
  with pytest.raises(ValueError, match="damaged"):
    captions.read(tmp_path / "cut.npz")
  with pytest.raises(ValueError, match="no such file"):
    captions.read(tmp_path / "none.npz")


def test_an_encoder_of_older_files_reads_the_last_state(encoder, tmp_path):
  encoder.write(tmp_path / "captions.npz")
  with np.load(tmp_path / "captions.npz") as archive:
    older = {k: v for k, v in archive.items() if k != "reading"}
  np.savez(tmp_path / "older.npz", **older)
  old = captions.read(tmp_path / "older.npz")
  assert old.sha256 == captions.digest(older) != encoder.sha256
  line = "a large cross"
  tokens, lengths = encoder.vocabulary.encode([line])
  net = CaptionEncoder(len(encoder.vocabulary), 16)
  mean = lambda n: net.apply({"params": encoder.params}, tokens, lengths - n)
  last = 3 * np.asarray(mean(0)) - 2 * np.asarray(mean(1))  # of three states
  last *= 4.0 / np.linalg.norm(last)
  np.testing.assert_allclose(old.embed([line]), last, rtol=1e-4, atol=1e-5)
  assert not np.allclose(old.embed([line]), encoder.embed([line]), atol=0.1)


def right(**changes: float) -> float:
  """For how many of sixteen images the right caption is nearest, percent."""
  said: list[str] = []
  recipe = captions.Recipe(**{**vars(RECIPE), **changes})
  captions.train(shapes(16), recipe, said.append)
  return float(re.findall(r"nearest for (\d+)%", said[-1])[0])


def test_training_pulls_images_and_their_captions_together():
  assert right(steps=100, forget=0.1) > 60
  # Words that are all forgotten say nothing.
  assert right(steps=100, forget=1.0) < 30


def test_unknown_words_are_strewn_between_and_none_is_lost():
  vocabulary = Vocabulary.of(["a red ring on blue"])
  lines = ["a red ring on blue", "blue", "a ring"] * 40
  tokens, lengths = vocabulary.encode(lines)
  rng = np.random.default_rng(0)
  wide, long = captions.strewn(rng, tokens, lengths, 0.3)
  assert wide.shape == (120, 10) and wide.dtype == long.dtype == np.int32
  for row, n, old, m in zip(wide, long, tokens, lengths, strict=True):
    assert (row[:n] > 0).all() and not row[n:].any()
    np.testing.assert_array_equal(row[:n][row[:n] != UNKNOWN], old[:m])
    pairs = zip(row[: n - 1], row[1:n], strict=True)
    assert (UNKNOWN, UNKNOWN) not in pairs and row[n - 1] != UNKNOWN
  share = (long - lengths).sum() / lengths.sum()
  assert 0.22 < share < 0.38
  same, still = captions.strewn(rng, tokens, lengths, 0.0)
  np.testing.assert_array_equal(same[:, :5], tokens)
  np.testing.assert_array_equal(still, lengths)


def test_agreement_counts_captions_that_find_their_image_s_first_one():
  places = {"a": 0, "b": 1, "c": 2, "a too": 0, "b?": 2, "c too": 2, "d": 1}

  class Encoder:
    def embed(self, lines):
      return np.eye(3)[[places[line] for line in lines]]

  lines = [["a", "a too"], ["b", "b?"], ["c", "c too"], ["a", "d", "d"]]
  # Of the second caption of each: right, wrong, right, wrong.
  assert captions.agreement(Encoder(), lines) == [0.5]
  assert captions.agreement(Encoder(), [["a"], ["b"]]) == []


def test_a_told_source_gives_each_example_its_own_captions(encoder):
  source = shapes()
  got = told.by_encoder(source, encoder)
  rows = np.array([5, 0])
  batch = got.read(rows)
  assert batch["text"].shape == (2, len(synthetic.PHRASES), 16)
  for row, text in zip(batch["text"], source.captions(rows), strict=True):
    np.testing.assert_allclose(
      row, encoder.embed(text.splitlines()), rtol=1e-5, atol=1e-6
    )
  assert got.fingerprint != source.fingerprint
  bank = got.bank(100)
  table = got.read(np.arange(len(got)))["text"].reshape(-1, 16)
  assert bank.shape == (100, 16)
  assert all((row == table).all(1).any() for row in bank)
  assert len(np.unique(bank, axis=0)) > 30


def test_vectors_of_a_file_need_no_encoder(tmp_path):
  source = shapes(8)
  table = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
  np.savez(tmp_path / "vectors.npz", train=table, short=table[:3])
  path = tmp_path / "vectors.npz"
  got = told.by_file(source, path, "train", 5)
  np.testing.assert_array_equal(
    got.read(np.array([2, 1]))["text"][:, 0], table[[2, 1]]
  )
  for split, size, line in (
    ("train", 4, "config.text.size"),
    ("short", 5, "8 examples"),
    ("test", 5, "no array 'test'"),
  ):
    with pytest.raises(ValueError, match=line):
      told.by_file(source, path, split, size)


def test_a_run_keeps_its_encoder_and_another_may_take_it(tmp_path, monkeypatch):
  config = ConfigDict({**vars(RECIPE), "encoder": "", "vectors": ""})
  said: list[str] = []
  make = lambda folder: told.for_run(
    shapes(), config, folder, seed=3, say=said.append
  )
  first = make(tmp_path / "a")
  told_of = lambda: [line for line in said if "41 words" in line]
  assert len(told_of()) == 2  # before and after
  assert make(tmp_path / "a").fingerprint == first.fingerprint
  config.encoder = str(tmp_path / "a" / told.ENCODER)
  assert make(tmp_path / "b").fingerprint == first.fingerprint
  assert len(told_of()) == 2
  # A process that comes late leaves what the first has written.
  monkeypatch.setattr(jax, "process_index", lambda: 1)
  written = (tmp_path / "b" / told.ENCODER).stat()
  assert make(tmp_path / "b").fingerprint == first.fingerprint
  assert (tmp_path / "b" / told.ENCODER).stat() == written
  monkeypatch.undo()
  config.size = 17
  with pytest.raises(ValueError, match=r"config\.text\.size"):
    make(tmp_path / "c")
  assert not (tmp_path / "c" / told.ENCODER).exists()


def test_an_encoder_beside_vectors_is_refused(tmp_path):
  two = {"encoder": "captions.npz", "vectors": "vectors.npz"}
  config = ConfigDict({**vars(RECIPE), **two})
  with pytest.raises(ValueError, match="in place of an encoder"):
    told.for_run(shapes(), config, tmp_path, 0, lambda line: None)


def test_what_a_refused_start_left_is_not_taken_for_another_recipe(tmp_path):
  config = ConfigDict({**vars(RECIPE), "encoder": "", "vectors": ""})
  make = lambda: told.for_run(shapes(), config, tmp_path, 3, lambda line: None)
  first = make()
  config.forget = 0.5
  second = make()
  assert second.fingerprint != first.fingerprint
  # With a run beside it the file stays, or is missed.
  (tmp_path / "run.json").write_text("{}")
  config.forget = 0.1
  assert make().fingerprint == second.fingerprint
  (tmp_path / told.ENCODER).unlink()
  with pytest.raises(ValueError, match="put its encoder"):
    make()


def test_other_captions_of_the_same_images_are_other_data(encoder):
  class Reworded:
    def __init__(self):
      self.plain = shapes()
      self.name, self.classes = self.plain.name, self.plain.classes
      self.image_shape = self.plain.image_shape
      self.fingerprint = self.plain.fingerprint

    def __len__(self):
      return len(self.plain)

    def captions(self, indices):
      """Those of the next example."""
      return self.plain.captions((indices + 1) % len(self))

  a = told.by_encoder(shapes(), encoder).fingerprint
  assert a != told.by_encoder(Reworded(), encoder).fingerprint
  assert a.endswith(encoder.sha256[:16])


def test_images_without_a_caption_cannot_be_told():
  source = data.build(settings("digits", count=4), "train")
  with pytest.raises(ValueError, match="has no caption"):
    captions.train(source, RECIPE, print)
