"""Features of a stream, on any mesh, and the cache of their statistics."""

import jax
import numpy as np
import pytest

from genlat import sharding
from genlat.metrics import extractors, features, frechet


@pytest.fixture(scope="module")
def extractor():
  return extractors.random_extractor()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv("GENLAT_CACHE", str(tmp_path))
  return tmp_path / "statistics"


def images(n=21, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (n, 10, 10, channels), np.uint8)


def test_cuts_of_the_stream_do_not_matter(extractor):
  batch = images()
  want = features.extract(extractor, [batch])
  assert want.shape == (21, 64) and want.dtype == np.float32
  assert np.ptp(want, axis=0).max() > 0.01
  got = features.extract(extractor, np.split(batch, [1, 1, 12]))
  np.testing.assert_array_equal(got, want)
  assert features.extract(extractor, []).shape == (0, 64)


def test_four_devices_give_what_one_gives(extractor):
  mesh = sharding.make_mesh()
  assert mesh.size == 4
  one = features.extract(extractor, [images()])
  four = features.extract(extractor, [images()], mesh=mesh)
  np.testing.assert_allclose(four, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("resize", ["tf1", "clean"])
def test_grey_images_are_repeated(resize):
  extractor = extractors.random_extractor(resize)
  grey = images(3, channels=1)
  got = features.extract(extractor, [grey])
  want = features.extract(extractor, [np.repeat(grey, 3, -1)])
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_resize_matters_and_pixels_are_centred():
  tf1, clean = (
    features.extract(extractors.random_extractor(r), [images(4)])
    for r in ("tf1", "clean")
  )
  assert np.abs(tf1 - clean).max() > 1e-3
  mid = np.full((1, 10, 10, 3), 128, np.uint8)
  np.testing.assert_array_equal(
    features.extract(extractors.random_extractor(), [mid]), np.zeros((1, 64))
  )


def test_progress_is_told(extractor):
  done = []
  features.extract(extractor, [images()], report=done.append)
  assert done == [8, 16, 21]


def test_statistics_are_those_of_the_features(extractor):
  rows = features.extract(extractor, [images()])
  want = frechet.Statistics.of(rows)
  got = features.statistics(extractor, [images()])
  assert got.count == 21
  np.testing.assert_allclose(got.mean, want.mean, rtol=1e-10)
  np.testing.assert_allclose(got.scatter, want.scatter, atol=1e-10)


def never():
  raise AssertionError("the images were read although the cache has them")
  yield


KEY = {"fingerprint": "abc", "split": "test", "count": 21}


def test_the_cache_answers_instead_of_the_images(extractor, cache):
  want = features.statistics(extractor, [images()], key=KEY)
  got = features.statistics(extractor, never(), key=dict(reversed(KEY.items())))
  np.testing.assert_array_equal(got.scatter, want.scatter)
  assert got.count == 21
  assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("change", [*KEY, "resize", "sha256"])
def test_all_that_matters_is_in_the_key(extractor, change):
  features.statistics(extractor, [images()], key=KEY)
  other, key = extractor, KEY
  if change == "resize":
    other = extractors.random_extractor("clean")
  elif change == "sha256":
    other = extractors.random_extractor(seed=1)
    assert other.sha256 != extractor.sha256
  else:
    key = KEY | {change: "other"}
  with pytest.raises(AssertionError, match="were read"):
    features.statistics(other, never(), key=key)


def test_an_interrupted_pass_goes_on(extractor, cache, monkeypatch):
  monkeypatch.setattr(features, "_SAVE_EVERY", 8)
  batch = images()

  def cut_short():
    yield batch[:20]
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    features.statistics(extractor, cut_short(), key=KEY)
  assert [p.suffixes for p in cache.iterdir()] == [[".partial", ".npz"]]
  told = []
  got = features.statistics(extractor, [batch], key=KEY, report=told.append)
  # 16 were dispatched and 8 fetched when it stopped.
  assert told == [16, 21]
  want = features.statistics(extractor, [batch])
  assert got.count == 21
  np.testing.assert_allclose(got.scatter, want.scatter, atol=1e-10)
  assert [p.suffixes for p in cache.iterdir()] == [[".npz"]]


def test_a_damaged_file_is_computed_anew(extractor, cache, capsys):
  features.statistics(extractor, [images()], key=KEY)
  (path,) = cache.iterdir()
  path.write_bytes(path.read_bytes()[:-100])
  got = features.statistics(extractor, [images()], key=KEY)
  assert got.count == 21
  assert "is damaged: computed anew" in capsys.readouterr().err
  features.statistics(extractor, never(), key=KEY)


def test_mismatches_raise(extractor):
  with pytest.raises(ValueError, match="uint8 images .* got float64"):
    features.extract(extractor, [images() / 255])
  with pytest.raises(ValueError, match=r"got uint8 \[8, 10, 10, 2\]"):
    features.extract(extractor, [images(channels=2)])
  with pytest.raises(ValueError, match="tf1, clean; got 'nearest'"):
    extractors.random_extractor("nearest")
  with pytest.raises(ValueError, match="2048.* got 100"):
    extractors.inception_extractor("any.npz", dim=100)
  with pytest.raises(OSError, match="config.weights.inception=PATH"):
    extractors.inception_extractor("")


def test_inception_is_read_at_its_first_tap(real_data):
  path = real_data / "weights" / "inception_fid_fp16.npz"
  extractor = extractors.inception_extractor(path, dim=64)
  assert extractor.network == "inception-2015-12-05/64"
  assert extractor.sha256.startswith("3a696bca")
  rows = features.extract(extractor, [images(2)])
  assert rows.shape == (2, 64) and np.isfinite(rows).all()
  assert jax.tree.leaves(extractor.params)[0].dtype == np.float32
