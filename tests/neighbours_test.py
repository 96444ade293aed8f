"""Nearest references, whatever the batches they come in."""

import numpy as np
import pytest

from genlat.metrics import neighbours


def images(n, seed):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (n, 4, 4, 3), np.uint8)


def brute_force(queries, references):
  a, b = (x.reshape(len(x), -1) / 255.0 for x in (queries, references))
  return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


@pytest.mark.parametrize("chunk", [48, 5 * 48, 2**23])
def test_they_are_those_of_brute_force(chunk, monkeypatch):
  monkeypatch.setattr(neighbours, "_CHUNK", chunk)
  queries, references = images(6, 0), images(50, 1)
  table = brute_force(queries, references)
  want = table.argsort(1)[:, :7]
  got = neighbours.nearest(queries, np.split(references, [3, 3, 40]), 7)
  np.testing.assert_array_equal(got.indices, want)
  np.testing.assert_allclose(
    got.distances, np.take_along_axis(table, want, 1), rtol=1e-12
  )


def test_a_memorised_image_is_at_distance_zero_exactly():
  references = images(40, 1)
  almost = references[31].copy()
  almost[0, 0, 0] ^= 1
  got = neighbours.nearest(
    np.stack([references[17], almost]), [references], k=1
  )
  assert got.indices.tolist() == [[17], [31]]
  assert got.distances[0, 0] == 0
  assert got.distances[1, 0] == pytest.approx(1 / 255, rel=1e-12)


def test_features_are_taken_as_they_are():
  queries = np.array([[0.0, 0.0]], np.float32)
  references = np.array([[30.0, 40.0], [3.0, 4.0], [300.0, 0.0]], np.float32)
  got = neighbours.nearest(queries, [references], k=3)
  assert got.indices.tolist() == [[1, 0, 2]]
  np.testing.assert_allclose(got.distances, [[5, 50, 300]])


def test_of_equal_distances_the_earlier_comes_first():
  references = np.array([[2.0], [1.0], [1.0], [1.0]])
  got = neighbours.nearest(np.zeros((1, 1)), iter(references[:, None]), k=2)
  assert got.indices.tolist() == [[1, 2]]


def test_mismatches_raise():
  queries = images(2, 0)
  with pytest.raises(ValueError, match="at least 5 references; got 3"):
    neighbours.nearest(queries, [images(3, 1)])
  with pytest.raises(ValueError, match="at least 1 neighbour; got 0"):
    neighbours.nearest(queries, [images(3, 1)], 0)
  with pytest.raises(ValueError, match="expected references uint8"):
    neighbours.nearest(queries, [images(3, 1) / 255.0], 1)
  with pytest.raises(ValueError, match=r"got uint8 \(3, 2, 4, 3\)"):
    neighbours.nearest(queries, [images(3, 1)[:, :2]], 1)
