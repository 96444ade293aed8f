"""Laws of idx files, the two MNISTs and the fixed binarisation."""

import gzip
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from data_layouts import idx, pixels, settings, write_files, write_idx

from genlat import data, methods
from genlat.data import originals
from genlat.data.source import DataError
from tests import shipped

IMAGES = pixels(6, 28, 28)
LABELS = np.array([3, 1, 4, 1, 5, 9], np.uint8)


@pytest.mark.parametrize(
  ("name", "split", "count", "labels", "mean", "sha256"),
  [
    ("mnist", "train", 60000, [5, 0, 4, 1, 9], 33.318, "741c988805d008ac"),
    ("mnist", "test", 10000, [7, 2, 1, 0, 4], 33.791, "6d87418db22cc802"),
    (
      "fashion_mnist",
      "train",
      60000,
      [9, 0, 0, 3, 0],
      72.940,
      "2e487a6c89124f78",
    ),
    (
      "fashion_mnist",
      "test",
      10000,
      [9, 2, 1, 1, 6],
      73.147,
      "c867c93ff9536059",
    ),
  ],
)
def test_original_files_hold_the_published_images(
  real_data, name, split, count, labels, mean, sha256
):
  source = data.build(settings(name, real_data / name), split)
  assert (len(source), source.image_shape) == (count, (28, 28, 1))
  batch = source.read(np.arange(count))
  assert batch["label"][:5].tolist() == labels
  assert np.bincount(batch["label"]).min() > 800
  assert batch["image"].mean() == pytest.approx(mean, abs=1e-3)
  assert hashlib.sha256(batch["image"]).hexdigest().startswith(sha256)


def test_published_hashes_are_those_of_the_files_at_hand(real_data):
  for name in ("mnist", "fashion_mnist"):
    for original in originals.ORIGINALS[name].files:
      content = (real_data / name / original.file).read_bytes()
      assert len(content) == original.size
      assert hashlib.sha256(content).hexdigest() == original.sha256


def test_plain_and_packed_idx_files_are_the_same(tmp_path):
  write_idx(tmp_path / "gz", IMAGES, LABELS)
  for path in (tmp_path / "gz").iterdir():
    plain = tmp_path / "plain" / path.stem
    plain.parent.mkdir(exist_ok=True)
    plain.write_bytes(gzip.decompress(path.read_bytes()))
  packed = data.build(settings("mnist", tmp_path / "gz"), "train")
  plain = data.build(settings("mnist", tmp_path / "plain"), "train")
  assert packed.fingerprint == plain.fingerprint
  batch = plain.read(np.arange(6))
  np.testing.assert_array_equal(batch["image"][..., 0], IMAGES)
  np.testing.assert_array_equal(batch["label"], LABELS)


def test_fashion_is_grey_and_takes_a_bernoulli(tmp_path):
  """glf.md 1.6: the official code gives it three channels, and fails."""
  write_idx(tmp_path, IMAGES, LABELS)
  config = shipped.config(
    "vae_fashion_mnist", "smoke", likelihood__name="bernoulli"
  )
  source = data.build(settings("fashion_mnist", tmp_path), "train")
  assert source.image_shape == (28, 28, 1)
  method = methods.build(config, source.image_shape)
  batch = {"image": jnp.asarray(source.read(np.arange(6))["image"] / 255.0)}
  state = method.init(jax.random.key(0), batch)
  values = method.eval_step(state, batch, jax.random.key(1))
  assert all(np.isfinite(v).all() for v in values.values())


def test_image_size_resizes(tmp_path):
  folder = write_idx(tmp_path, IMAGES, LABELS)
  source = data.build(settings("mnist", folder, image_size=32), "test")
  assert source.image_shape == (32, 32, 1)


@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_idx_file_is_named_with_its_bytes(tmp_path, packed):
  write_idx(tmp_path, IMAGES, LABELS)
  path = tmp_path / "train-images-idx3-ubyte.gz"
  if packed:
    path.write_bytes(path.read_bytes()[:-900])
  else:
    path.unlink()
    path = path.with_suffix("")
    path.write_bytes(idx(IMAGES)[:-1])
  with pytest.raises(DataError) as error:
    data.build(settings("mnist", tmp_path), "train")
  line = str(error.value)
  assert "\n" not in line
  assert str(path) in line and f"expected {16 + 6 * 784} bytes" in line
  assert "python -m genlat.data.prepare mnist" in line
  if not packed:
    assert f"got {16 + 6 * 784 - 1};" in line


def packed(content: bytes) -> bytes:
  """Gzip without the time, which would name a test anew each second."""
  return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "truncated or damaged"),
    (packed(b""), "begins with nothing"),
    (packed(b"<html>no such file</html>"), "not an idx file"),
    (b"<html>no such file</html>", "damaged gzip"),
    (packed(idx(IMAGES[:, :, 0])), "rank 3, got 2"),
    (packed(idx(IMAGES) + b"x"), "truncated or damaged"),
    (packed(idx(IMAGES))[:-4], "truncated or damaged"),
  ],
)
def test_what_is_no_idx_file_of_images_is_refused(tmp_path, content, message):
  write_idx(tmp_path, IMAGES, LABELS)
  (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
  with pytest.raises(DataError, match=message):
    data.build(settings("mnist", tmp_path), "train")


def test_a_label_out_of_range_is_named(tmp_path):
  labels = LABELS.copy()
  labels[2] = 10
  folder = write_idx(tmp_path, IMAGES, labels)
  with pytest.raises(DataError, match="example 2 has label 10, expected 0 to"):
    data.build(settings("fashion_mnist", folder), "train")


def test_missing_files_name_the_command_that_fetches_them(tmp_path):
  for path, message in (
    ("", "set config.data.path"),
    (tmp_path / "none", "no such file or folder"),
    (tmp_path, "train-images-idx3-ubyte.gz or train-images-idx3-ubyte"),
  ):
    with pytest.raises(DataError, match=message) as error:
      data.build(settings("mnist", path), "train")
    assert "python -m genlat.data.prepare mnist --out=DIR" in str(error.value)


def test_the_other_sets_files_are_not_taken(tmp_path):
  write_idx(tmp_path, IMAGES, LABELS)
  path = tmp_path / "train-labels-idx1-ubyte.gz"
  path.write_bytes(bytes(29515))  # the size of Fashion-MNIST's
  with pytest.raises(DataError, match="file of fashion_mnist, not of mnist"):
    data.build(settings("mnist", tmp_path), "train")


def _amat(bits: np.ndarray) -> bytes:
  lines = (" ".join(str(int(bit)) for bit in row) for row in bits)
  return ("\n".join(lines) + "\n").encode()


def test_both_layouts_of_the_binarisation_are_the_same(tmp_path):
  bits = pixels(3, 4, 784) & 1
  parts = ("train", "valid", "test")
  write_files(
    tmp_path / "amat",
    {
      f"binarized_mnist_{part}.amat": _amat(rows)
      for part, rows in zip(parts, bits, strict=True)
    },
  )
  path = tmp_path / "binarized_mnist_packed.npz"
  packed = {p: np.packbits(r, axis=1) for p, r in zip(parts, bits, strict=True)}
  np.savez(path, **packed)
  for i, split in enumerate(("train", "validation", "test")):
    sources = [
      data.build(settings("binarized_mnist", place), split)
      for place in (tmp_path / "amat", path, tmp_path)
    ]
    assert len({source.fingerprint for source in sources}) == 1
    images = sources[0].read(np.arange(4))["image"]
    np.testing.assert_array_equal(images.reshape(4, 784), bits[i] * 255)


def test_a_truncated_binarisation_is_refused(tmp_path):
  name = "binarized_mnist_train.amat"
  write_files(tmp_path, {name: _amat(pixels(2, 784) & 1)[:-7]})
  with pytest.raises(DataError, match=r"got 3129 bytes.*file has 78400000"):
    data.build(settings("binarized_mnist", tmp_path), "train")
  path = tmp_path / "binarized_mnist_packed.npz"
  np.savez(path, train=np.zeros((2, 98), np.uint8))
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(DataError, match="damaged, or not the packed"):
    data.build(settings("binarized_mnist", path), "train")


def test_objects_in_an_npz_are_not_unpickled(tmp_path):
  path = tmp_path / "binarized_mnist_packed.npz"
  np.savez(path, train=np.array([{}], object))
  with pytest.raises(DataError, match="allow_pickle=False"):
    data.build(settings("binarized_mnist", path), "train")


def test_the_binarisation_at_hand_is_larochelles(real_data):
  path = real_data / "binarized_mnist"
  for split, original in zip(
    ("train", "validation", "test"),
    originals.ORIGINALS["binarized_mnist"].files,
    strict=True,
  ):
    source = data.build(settings("binarized_mnist", path), split)
    images = source.read(np.arange(len(source)))["image"]
    text = np.full((len(source), 2 * 784), ord(" "), np.uint8)
    text[:, ::2] = images.reshape(-1, 784) // 255 + ord("0")
    text[:, -1] = ord("\n")
    assert hashlib.sha256(text).hexdigest() == original.sha256
