"""Laws of prepared data: what is written is read, or it is not there."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from data_layouts import images_by_name, pixels, settings, write_files

from genlat import data
from genlat.data import prepare, record_writer
from genlat.data.source import ArraySource, DataError

N = 23


def _source(side: int = 8, channels: int = 3, n: int = N) -> ArraySource:
  return ArraySource(
    "tiny",
    {
      "image": pixels(n, side, side, channels),
      "label": np.arange(n) % 3,
      "attribute": np.arange(2 * n).reshape(n, 2) - 5,
    },
    classes=("a", "b", "c"),
    captions=[f"caption {i} é" for i in range(n)],
  )


def _write(out: pathlib.Path, source: data.Source | None = None):
  source = source or _source()
  recipe = {"crop": 0, "image_size": 8}
  return record_writer.write_records({"train": source}, out, recipe)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
  """Shards of ten 8x8 images."""
  monkeypatch.setattr(record_writer, "SHARD_BYTES", 10 * 192)
  monkeypatch.setattr(record_writer, "_CHUNK", 4)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
  ("side", "channels"), [(8, 3), (8, 1), (132, 3), (132, 1)]
)
def test_what_is_written_is_read_bit_for_bit(tmp_path, side, channels):
  n = N if side == 8 else 3
  source = _source(side, channels, n)
  _write(tmp_path / "out", source)
  back = data.build(settings("records", tmp_path / "out"), "train")
  order = np.random.default_rng(0).permutation(n)
  for key, values in source.read(order).items():
    read = back.read(order)[key]
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype
  assert back.captions(order) == source.captions(order)
  for name in ("name", "image_shape", "classes", "fingerprint"):
    assert getattr(back, name) == getattr(source, name)
  assert len(back) == n
  assert back.read(np.arange(0))["image"].shape == (0, side, side, channels)


@pytest.mark.usefixtures("small_shards")
def test_the_card_describes_the_shards(tmp_path):
  import hashlib

  _write(tmp_path / "out")
  card = json.loads((tmp_path / "out" / "card.json").read_text())
  entry = card["splits"]["train"]
  assert (entry["count"], entry["attributes"]) == (N, 2)
  assert [shard["count"] for shard in entry["shards"]] == [10, 10, 3]
  for shard in entry["shards"]:
    content = (tmp_path / "out" / shard["file"]).read_bytes()
    assert shard["bytes"] == len(content)
    assert shard["sha256"] == hashlib.sha256(content).hexdigest()
  assert card["job"]["recipe"] == {"crop": 0, "image_size": 8}
  assert set(card["versions"]) == {"array-record", "numpy", "pillow"}
  names = {path.name for path in (tmp_path / "out").iterdir()}
  assert names == {"card.json", *(s["file"] for s in entry["shards"])}


class _Stops:
  """A source that fails, as a killed run would stop, after some reads."""

  def __init__(self, source: ArraySource, reads: int) -> None:
    self.name = source.name
    self.image_shape = source.image_shape
    self.classes = source.classes
    self.fingerprint = source.fingerprint
    self.captions = source.captions
    self.left = reads
    self.rows: list[int] = []
    self._source = source

  def __len__(self) -> int:
    return len(self._source)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    if not self.left:
      raise KeyboardInterrupt
    self.left -= 1
    self.rows += indices.tolist()
    return self._source.read(indices)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("reads", [0, 1, 4, 6])
def test_an_interrupted_run_leaves_nothing_finished_and_goes_on(
  tmp_path, reads
):
  out = tmp_path / "out"
  with pytest.raises(KeyboardInterrupt):
    _write(out, _Stops(_source(), reads))
  assert not out.exists()
  with pytest.raises(DataError, match="no finished preparation there"):
    data.build(settings("records", out), "train")
  with pytest.raises(DataError, match="no finished preparation there"):
    data.build(settings("records", tmp_path / "out.part"), "train")
  again = _Stops(_source(), 100)
  _write(out, again)
  finished = reads // 3 * 10  # a shard of ten takes three reads
  assert sorted(set(again.rows) - {0}) == list(range(max(1, finished), N))
  whole = data.build(settings("records", out), "train")
  np.testing.assert_array_equal(
    whole.read(np.arange(N))["image"], pixels(N, 8, 8, 3)
  )
  assert not list(out.glob("*.draft")) and not (tmp_path / "out.part").exists()


@pytest.mark.usefixtures("small_shards")
def test_shards_of_another_job_are_not_continued(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    _write(tmp_path / "out", _Stops(_source(), 6))
  other = ArraySource("tiny", {"image": 255 - pixels(N, 8, 8, 3)})
  _write(tmp_path / "out", other)
  back = data.build(settings("records", tmp_path / "out"), "train")
  np.testing.assert_array_equal(
    back.read(np.arange(N))["image"], 255 - pixels(N, 8, 8, 3)
  )


def test_a_finished_folder_is_kept_and_never_overwritten(tmp_path):
  first = _write(tmp_path / "out")
  assert _write(tmp_path / "out", _Stops(_source(), 0)) == first
  with pytest.raises(DataError, match="holds another preparation"):
    _write(tmp_path / "out", _source(n=5))
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "notes.txt").write_text("precious")
  with pytest.raises(DataError, match="no finished preparation"):
    _write(tmp_path / "mine")


@pytest.mark.parametrize("place", range(5))
def test_a_flipped_byte_is_detected_and_its_shard_named(tmp_path, place):
  _write(tmp_path / "out")
  (shard,) = (tmp_path / "out").glob("*.array_record")
  content = bytearray(shard.read_bytes())
  images = pixels(N, 8, 8, 3)
  where = content.index(images[4 * place].tobytes()) + 17 * place
  content[where] ^= 1 << place
  shard.write_bytes(content)
  with pytest.raises(DataError) as error:
    data.build(settings("records", tmp_path / "out"), "train").read(
      np.arange(N)
    )
  assert f"damaged: {shard.name}" in str(error.value)
  assert "\n" not in str(error.value)


def test_truncated_and_missing_shards_are_named(tmp_path):
  _write(tmp_path / "out")
  (shard,) = (tmp_path / "out").glob("*.array_record")
  size = shard.stat().st_size
  shard.write_bytes(shard.read_bytes()[:-7])
  with pytest.raises(
    DataError, match=f"{shard.name}: .*expected {size} bytes, got {size - 7};"
  ):
    data.build(settings("records", tmp_path / "out"), "train")
  shard.unlink()
  with pytest.raises(DataError, match=f"expected {size} bytes, got 0;"):
    data.build(settings("records", tmp_path / "out"), "train")


@pytest.mark.parametrize(
  ("card", "message"),
  [("{", "damaged card"), ('{"job": {"format": 7}, "splits": 1}', "format 1")],
)
def test_a_damaged_card_is_named(tmp_path, card, message):
  _write(tmp_path / "out")
  (tmp_path / "out" / "card.json").write_text(card)
  with pytest.raises(DataError, match=message):
    data.build(settings("records", tmp_path / "out"), "train")


def test_another_size_or_split_than_prepared_is_refused(tmp_path):
  _write(tmp_path / "out")
  same = settings("records", tmp_path / "out", image_size=8)
  assert len(data.build(same, "train")) == N
  with pytest.raises(
    DataError, match="image_size=8, config.data.image_size asks for 16"
  ):
    data.build(settings("records", tmp_path / "out", image_size=16), "train")
  with pytest.raises(DataError, match="has no split 'test'"):
    data.build(settings("records", tmp_path / "out"), "test")
  with pytest.raises(DataError, match="config.data.path, a folder made by"):
    data.build(settings("records"), "train")


def test_the_command_turns_a_folder_into_the_same_data(tmp_path, capsys):
  names = [f"set/{c}/{i}.png" for c in "ab" for i in range(20)]
  write_files(tmp_path, images_by_name(*names))
  arguments = [f"--path={tmp_path / 'set'}", f"--out={tmp_path / 'out'}"]
  assert prepare.main(["records", *arguments, "--image_size=8"]) == 0
  assert "--config.data.name=records" in capsys.readouterr().out
  for split in ("train", "test"):
    wanted = settings("folder", tmp_path / "set", image_size=8)
    source = data.build(wanted, split)
    back = data.build(settings("records", tmp_path / "out"), split)
    assert back.fingerprint == source.fingerprint
    for key, values in source.read(np.arange(len(source))).items():
      read = back.read(np.arange(len(source)))[key]
      np.testing.assert_array_equal(read, values)
    listed = (tmp_path / "out" / f"{split}.txt").read_text().splitlines()
    assert listed == list(source.names)


def test_the_command_answers_errors_with_one_line(tmp_path):
  write_files(tmp_path / "in", {"train/a.png": b"not an image"})
  done = subprocess.run(
    [
      *(sys.executable, "-W", "error", "-m", "genlat.data.prepare", "folder"),
      *(f"--path={tmp_path / 'in'}", f"--out={tmp_path / 'out'}"),
      *("--split=train", "--image_size=8"),
    ],
    capture_output=True,
    text=True,
    check=False,
    timeout=120,
  )
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith("genlat.data.prepare: ") and "train/a.png" in line
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["nonesuch"], "unknown data set 'nonesuch'; known: records, digits"),
    (["shapes", "--mirror=http://x"], "--mirror is for published files"),
    (["folder"], "set config.data.path"),
    (["shapes", "--split=valid"], "unknown split 'valid'"),
    (["shapes", "--image_size=-3"], "0 or more"),
  ],
)
def test_wrong_arguments_are_answered_with_one_line(
  tmp_path, capsys, arguments, message
):
  assert prepare.main([*arguments, f"--out={tmp_path / 'out'}"]) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert message in line


def test_celeba_is_cut_to_160_and_64_unless_told_otherwise(monkeypatch):
  seen = []
  monkeypatch.setattr(
    prepare, "make_records", lambda config, out, splits: seen.append(config)
  )
  prepare.main(["celeba", "--path=x", "--out=y"])
  prepare.main(["celeba", "--path=x", "--out=y", "--crop=0", "--image_size=32"])
  assert [(c.crop, c.image_size) for c in seen] == [(160, 64), (0, 32)]
