"""Laws of CIFAR-10 in its two versions, and of SVHN."""

import pathlib
import pickle

import numpy as np
import pytest
from data_layouts import (
  cifar10_batches,
  malicious_batch,
  pickled_batch,
  pixels,
  settings,
  write_files,
  write_svhn,
  write_tar,
)

from genlat import data
from genlat.data import cifar10, inert_pickle
from genlat.data.source import DataError

ROWS = 20


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
  """Batches of 20 images instead of 10000."""
  monkeypatch.setattr(cifar10, "ROWS", ROWS)


def _places(tmp_path: pathlib.Path) -> list[pathlib.Path]:
  binary = cifar10_batches(ROWS, python=False)
  python = cifar10_batches(ROWS, python=True)
  inside = {f"cifar-10-batches-bin/{name}": d for name, d in binary.items()}
  (tmp_path / "tars").mkdir()
  write_tar(tmp_path / "tars" / "cifar-10-binary.tar.gz", inside)
  pickles = {f"cifar-10-batches-py/{name}": d for name, d in python.items()}
  return [
    write_files(tmp_path / "bin", binary),
    write_files(tmp_path / "py", python),
    write_files(tmp_path / "unpacked", inside),
    write_files(tmp_path / "unpickled", pickles),
    tmp_path / "tars",
    tmp_path / "tars" / "cifar-10-binary.tar.gz",
    write_tar(tmp_path / "p.tar.gz", pickles),
  ]


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_layout_holds_the_same_images(tmp_path, split):
  sources = [
    data.build(settings("cifar10", place), split) for place in _places(tmp_path)
  ]
  assert len({source.fingerprint for source in sources}) == 1
  source = sources[0]
  assert len(source) == (5 * ROWS if split == "train" else ROWS)
  assert source.image_shape == (32, 32, 3) and len(source.classes) == 10
  seed = 1 if split == "train" else 5
  row = ROWS + 3 if split == "train" else 3  # the second batch, or the test's
  batch = source.read(np.array([row]))
  planes = pixels(ROWS, 3072, seed=seed)[3].reshape(3, 32, 32)
  np.testing.assert_array_equal(batch["image"][0], planes.transpose(1, 2, 0))
  assert batch["label"].tolist() == [(seed + 3) % 10]


@pytest.mark.usefixtures("few_rows")
def test_a_truncated_batch_is_named_with_its_bytes(tmp_path):
  files = cifar10_batches(ROWS, python=False)
  files["data_batch_4.bin"] = files["data_batch_4.bin"][:-3073]
  write_files(tmp_path, files)
  with pytest.raises(
    DataError,
    match=r"data_batch_4.bin: truncated.* expected 61460 bytes, got 58387;"
    r".*prepare cifar10",
  ):
    data.build(settings("cifar10", tmp_path), "train")


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("cut", [10, 1000, 30000, -1])
def test_a_truncated_pickle_is_named_with_its_bytes(tmp_path, cut):
  files = cifar10_batches(ROWS, python=True)
  files["test_batch"] = files["test_batch"][:cut]
  write_files(tmp_path, files)
  size = len(files["test_batch"])
  with pytest.raises(DataError, match=f"test_batch: .*got {size} bytes"):
    data.build(settings("cifar10", tmp_path), "test")


def test_a_truncated_archive_is_named_with_its_bytes(tmp_path):
  path = tmp_path / "cifar-10-binary.tar.gz"
  write_tar(path, cifar10_batches(ROWS, python=False))
  path.write_bytes(path.read_bytes()[:200000])
  with pytest.raises(
    DataError, match=r"got 200000 bytes; the published file has 170052171"
  ):
    data.build(settings("cifar10", tmp_path), "train")


@pytest.mark.usefixtures("few_rows")
def test_a_missing_batch_and_a_bad_label_are_named(tmp_path):
  files = cifar10_batches(ROWS, python=False)
  del files["data_batch_5.bin"]
  write_files(tmp_path / "a", files)
  with pytest.raises(DataError, match=r"data_batch_1.bin to data_batch_5.bin"):
    data.build(settings("cifar10", tmp_path / "a"), "train")
  files["test_batch.bin"] = b"\x0b" + files["test_batch.bin"][1:]
  write_files(tmp_path / "b", files)
  with pytest.raises(DataError, match="example 0 has label 11"):
    data.build(settings("cifar10", tmp_path / "b"), "test")


def test_a_malicious_pickle_runs_nothing(tmp_path):
  marker = tmp_path / "executed"
  content = malicious_batch(marker)
  write_files(tmp_path, {"test_batch": content})
  with pytest.raises(DataError, match="names 'posix system'.*carry code"):
    data.build(settings("cifar10", tmp_path), "test")
  assert not marker.exists()
  pickle.loads(content)  # the same bytes are harmful elsewhere
  assert marker.exists()


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (pickle.dumps({"data": 1.5}, 4), "refused: the pickle instruction"),
    (b"\x80\x02cnumpy\nload\n.", "names 'numpy load'"),
    (b"\x80\x02(U\x02lsiposix\nsystem\n.", "instruction INST"),
    (b"\x80\x02cnumpy\ndtype\n(tR.", "does not spell an array"),
    (b"\x80\x02K\x01.", "expected a dictionary"),
    (b"\x80\x02h\x05.", "truncated or damaged pickle"),
    (b"\x80\x02}U\x01a)b.", "instruction EMPTY_TUPLE"),
    (b"\x80\x02}}b.", "BUILD on something"),
    (b"", "truncated or damaged pickle"),
  ],
)
def test_whatever_else_a_pickle_holds_is_refused(content, message):
  with pytest.raises(DataError, match=message):
    inert_pickle.read(content, "x", "fix")


def test_an_array_of_another_type_is_refused():
  content = pickled_batch(pixels(2, 3), [0, 1])
  with pytest.raises(DataError, match="not of unsigned bytes"):
    inert_pickle.read(content.replace(b"\x02u1", b"\x02O1"), "x", "fix")


def test_an_array_in_column_order_is_refused():
  content = pickled_batch(pixels(2, 3), [0, 1])
  with pytest.raises(DataError, match="not of unsigned bytes"):
    inert_pickle.read(content.replace(b"\x89T", b"\x88T"), "x", "fix")


def test_the_inert_reader_reads_what_unpickling_would():
  content = pickled_batch(pixels(4, 6), [7, 8, 9, 0])
  ours = inert_pickle.read(content, "x", "fix")
  theirs = pickle.loads(content, encoding="latin1")
  np.testing.assert_array_equal(ours.pop("data"), theirs.pop("data"))
  assert ours == theirs


def test_svhn_reads_its_axes_and_calls_ten_zero(tmp_path):
  images = pixels(7, 32, 32, 3)
  labels = np.array([10, 1, 2, 10, 9, 5, 3], np.uint8)
  write_svhn(tmp_path, images, labels)
  for split in ("train", "test"):
    source = data.build(settings("svhn", tmp_path), split)
    batch = source.read(np.arange(7))
    np.testing.assert_array_equal(batch["image"], images)
    assert batch["label"].tolist() == [0, 1, 2, 0, 9, 5, 3]


def test_svhn_names_bad_labels_and_truncated_files(tmp_path):
  images = pixels(3, 32, 32, 3)
  write_svhn(tmp_path, images, np.array([1, 0, 2], np.uint8))
  with pytest.raises(DataError, match="example 1 has label 0, expected 1 to"):
    data.build(settings("svhn", tmp_path), "train")
  path = tmp_path / "test_32x32.mat"
  size = path.stat().st_size // 2
  path.write_bytes(path.read_bytes()[:size])
  with pytest.raises(
    DataError,
    match=f"test_32x32.mat: truncated.*got {size} bytes; the published file"
    " has 64275384",
  ):
    data.build(settings("svhn", tmp_path), "test")
  path.write_bytes(b"")
  with pytest.raises(DataError, match="got 0 bytes"):
    data.build(settings("svhn", tmp_path), "test")
