"""The validation split: fixed, disjoint, of the size asked for."""

import numpy as np
import pytest

from genlat.data import split
from genlat.data.source import ArraySource


def _source(n: int = 4000) -> ArraySource:
  images = np.zeros((n, 1, 1, 1), np.uint8)
  labels = np.arange(n, dtype=np.int32)
  return ArraySource(
    "counted", {"image": images, "label": labels}, tuple(map(str, range(n)))
  )


def _labels(source) -> np.ndarray:
  return source.read(np.arange(len(source)))["label"]


def test_parts_are_disjoint_and_cover_the_source_in_order():
  parts = [
    _labels(split.validation_split(_source(), 0.2, part))
    for part in split.PARTS
  ]
  for part in parts:
    assert (np.diff(part) > 0).all()
  np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(4000))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_share_is_kept_everywhere_in_the_source(share):
  chosen = _labels(split.validation_split(_source(), share, "validation"))
  tolerance = 5 * np.sqrt(share * (1 - share) / 1000)
  for start in range(0, 4000, 1000):
    here = np.mean((chosen >= start) & (chosen < start + 1000)) * len(chosen)
    assert abs(here / 1000 - share) < tolerance


def test_larger_share_contains_the_smaller():
  small = _labels(split.validation_split(_source(), 0.05, "validation"))
  large = _labels(split.validation_split(_source(), 0.1, "validation"))
  assert set(small) < set(large)


def test_cut_never_changes():
  chosen = _labels(split.validation_split(_source(100), 0.1, "validation"))
  np.testing.assert_array_equal(chosen, [34, 37, 48, 60, 84, 93])


def test_cut_depends_on_the_position_alone():
  long = _labels(split.validation_split(_source(4000), 0.1, "validation"))
  short = _labels(split.validation_split(_source(1000), 0.1, "validation"))
  np.testing.assert_array_equal(long[: len(short)], short)


def test_share_zero_leaves_the_train_split_whole():
  source = _source()
  assert split.validation_split(source, 0.0, "train") is source
  with pytest.raises(ValueError, match=r"config\.data\.validation is 0"):
    split.validation_split(source, 0.0, "validation")


def test_fingerprint_tells_cuts_apart():
  source = _source()
  prints = {source.fingerprint} | {
    split.validation_split(source, share, part).fingerprint
    for share in (0.1, 0.2)
    for part in split.PARTS
  }
  assert len(prints) == 5
  again = split.validation_split(_source(), 0.1, "train")
  assert again.fingerprint in prints


def test_captions_follow_the_view():
  n = 50
  source = ArraySource(
    "told",
    {"image": np.zeros((n, 1, 1, 1), np.uint8)},
    (),
    [f"number {i}" for i in range(n)],
  )
  view = split.validation_split(source, 0.3, "validation")
  got = view.captions(np.arange(len(view)))
  assert got == [f"number {i}" for i in view.indices]


@pytest.mark.parametrize(
  ("share", "part", "match"),
  [
    (1.0, "train", r"config\.data\.validation must be in \[0, 1\); got 1"),
    (-0.1, "train", r"config\.data\.validation"),
    (0.1, "test", "train, validation; got 'test'"),
    (1e-6, "validation", "leaves no validation example"),
  ],
)
def test_bad_cut_raises(share, part, match):
  with pytest.raises(ValueError, match=match):
    split.validation_split(_source(), share, part)
