"""Weight files are tensors, and the ones that were asked for."""

import hashlib
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from genlat import weights


@pytest.fixture
def archive(tmp_path):
  path = tmp_path / "mine.npz"
  np.savez(path, a=np.arange(3.0), b=np.float16([1, 2]))
  return path


def test_hash_is_that_of_the_content(tmp_path):
  path = tmp_path / "abc"
  path.write_bytes(b"abc")
  assert weights.sha256(path) == (
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  )


def test_both_formats_give_the_same_arrays(archive, tmp_path):
  arrays = weights.load(archive)
  path = tmp_path / "mine.safetensors"
  save_file(arrays, path)
  again = weights.load(path)
  assert arrays["b"].dtype == np.float16
  assert sorted(again) == ["a", "b"]
  for name, array in arrays.items():
    np.testing.assert_array_equal(again[name], array)


def test_the_expected_hash_passes_and_another_is_refused(archive):
  digest = hashlib.sha256(archive.read_bytes()).hexdigest()
  assert weights.check(archive, digest.upper(), "vgg") == digest
  weights.load(archive, digest)
  with pytest.raises(ValueError, match=f"{digest}, expected {'0' * 64}"):
    weights.load(archive, "0" * 64, network="vgg")


@pytest.mark.parametrize("network", weights.PUBLISHED)
def test_a_published_name_with_other_content_is_refused(archive, network):
  published = weights.PUBLISHED[network]
  path = archive.rename(archive.with_name(published.file))
  with pytest.raises(ValueError, match=published.sha256) as error:
    weights.load(path, network=network)
  assert f"--config.weights.{network}=PATH" in str(error.value)
  assert "\n" not in str(error.value)
  # Who names the hash means the file.
  weights.load(path, weights.sha256(path))


@pytest.mark.parametrize("path", ["", "/no/such/file.npz"])
def test_a_missing_file_names_the_way_out(path):
  with pytest.raises(OSError, match="no (weight )?file") as error:
    weights.load(path, network="inception")
  message = str(error.value)
  for part in ("inception_fid_fp16.npz", "3a696bca", "config.weights.incep"):
    assert part in message


def test_a_pickle_is_never_run(tmp_path):
  class Bomb:
    def __reduce__(self):
      return (pytest.fail, ("the pickle was run",))

  path = tmp_path / "bomb.npz"
  np.savez(path, a=np.array([Bomb()], dtype=object))
  with pytest.raises(ValueError, match="no archive of plain tensors"):
    weights.load(path)
  path = tmp_path / "bomb.pth"
  path.write_bytes(pickle.dumps(Bomb()))
  with pytest.raises(ValueError, match="read from .npz or .safetensors"):
    weights.load(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_cut_short_gives_one_line(archive, tmp_path, suffix):
  whole = archive
  if suffix == ".safetensors":
    whole = tmp_path / "whole.safetensors"
    save_file(weights.load(archive), whole)
  path = tmp_path / f"cut{suffix}"
  path.write_bytes(whole.read_bytes()[:-40])
  with pytest.raises(ValueError, match="cut") as error:
    weights.load(path)
  assert "\n" not in str(error.value)
