"""Laws of SVHN's full numbers, on small archives of the published layout."""

import builtins
import io
import pathlib
import tarfile

import h5py
import numpy as np
import pytest
from data_layouts import (
  digit_struct,
  encoded,
  pixels,
  settings,
  write_files,
  write_tar,
)
from PIL import Image

from genlat import data
from genlat.data import prepare, svhn_full
from genlat.data.source import DataError

# Left, top, width, height, label of each digit; 0 is labelled 10.
Digits = list[tuple[float, ...]]
NUMBERS: dict[str, dict[str, Digits]] = {
  "train": {
    "1.png": [(8, 5, 6, 10, 1), (15, 6, 5, 10, 10)],
    "2.png": [(4, 4, 8, 16, 7)],
    "3.png": [(5 * i, 8, 4, 9, i + 1) for i in range(7)],
  },
  "extra": {
    "1.png": [(2, 2, 9, 9, 9)],
    "2.png": [(-3, 1, 9, 12, 3), (30, 20, 12, 9, 10)],
  },
  "test": {"1.png": [(10, 3, 7, 12, 5), (18, 3, 7, 12, 6)]},
}
HIGH, WIDE = 24, 40


def files(part: str, numbers: dict[str, Digits] | None = None):
  """The files of an archive by name."""
  numbers = NUMBERS[part] if numbers is None else numbers
  made = {
    f"{part}/{name}": encoded(picture(part, i))
    for i, name in enumerate(numbers)
  }
  # In the middle, and beside what else the archives hold.
  made |= {f"{part}/digitStruct.mat": digit_struct(numbers)}
  return {f"{part}/see_bboxes.m": b"load", **made, f"{part}/9.png": b"unnamed"}


def picture(part: str, i: int) -> np.ndarray:
  return pixels(HIGH, WIDE, 3, seed=10 * len(part) + i)


def archives(folder: pathlib.Path) -> pathlib.Path:
  folder.mkdir(exist_ok=True)
  for part in NUMBERS:
    write_tar(folder / f"{part}.tar.gz", files(part))
  return folder


def whole(source: data.Source) -> dict[str, np.ndarray]:
  return source.read(np.arange(len(source)))


def test_archives_and_their_unpacked_folders_hold_the_same_numbers(tmp_path):
  archives(tmp_path / "tars")
  for part in NUMBERS:
    write_files(tmp_path / "open", files(part))
  for split, count in (("train", 5), ("test", 1)):
    packed, plain = (
      data.build(settings("svhn_full", tmp_path / place), split)
      for place in ("tars", "open")
    )
    assert len(packed) == count and packed.image_shape == (64, 64, 3)
    assert packed.fingerprint == plain.fingerprint


def test_a_number_is_its_length_and_six_digits(tmp_path):
  folder = archives(tmp_path)
  got = whole(data.build(settings("svhn_full", folder), "train"))
  assert got["attribute"].tolist() == [
    [2, 1, 0, -1, -1, -1, -1],
    [1, 7, -1, -1, -1, -1, -1],
    [7, 1, 2, 3, 4, 5, 6],  # of seven, the first six
    [1, 9, -1, -1, -1, -1, -1],
    [2, 3, 0, -1, -1, -1, -1],
  ]
  assert got["attribute"].dtype == np.int32 and "label" not in got


def test_images_are_the_widened_rectangle_resized_to_a_square(tmp_path):
  folder = archives(tmp_path)
  got = whole(data.build(settings("svhn_full", folder, image_size=16), "train"))
  # 1.png of train: digits fill 8..20 x 5..16; 15 % of 12 and of 11 on each side
  # are 1.8 and 1.65, hence 6..22 x 3..18. 2.png of extra: digits stick out.
  for row, source, box in (
    (0, picture("train", 0), (6, 3, 22, 18)),
    (4, picture("extra", 1), (0, 0, WIDE, HIGH)),
  ):
    cut = Image.fromarray(source).crop(box)
    wanted = cut.resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(got["image"][row], np.asarray(wanted))


def test_the_rectangle_ends_at_the_image_and_has_a_pixel():
  of = lambda *box: svhn_full.rectangle(np.array([box], float), 100, 50)
  assert of(40, 20, 10, 10) == (38, 18, 52, 32)  # 1.5 more on each side
  assert of(40, 20, 20, 10) == (37, 18, 63, 32)  # 3 on the sides
  assert of(-5, -5, 10, 10) == (0, 0, 6, 6)  # 5 x 5 pixels of it are there
  assert of(95, 45, 10, 10) == (94, 44, 100, 50)
  assert of(99.4, 0, 0.1, 0.2) == (99, 0, 100, 1)


@pytest.mark.parametrize(
  "box",
  [
    (100, 0, 5, 5),
    (0, 50, 5, 5),
    (-6, 0, 5, 5),
    (0, 0, 0, 5),
    (0, 0, 5, -1),
    (np.nan, 0, 5, 5),
  ],
)
def test_a_box_without_a_pixel_of_the_image_is_refused(box):
  with pytest.raises(ValueError, match="box 1 .*not in the image of 100x50"):
    svhn_full.rectangle(np.array([(1, 1, 5, 5), box], float), 100, 50)


@pytest.mark.parametrize(
  ("bad", "match"),
  [
    ((90, 0, 5, 5, 1), r"train/1\.png: box 0 .*image of 40x24.*on_error=skip"),
    ((1, 1, 5, 5, 11), r"train/1\.png: digit 0 has label 11, expected 1 to 10"),
    ((1, 1, 5, 5, 0), r"train/1\.png: digit 0 has label 0"),
    ((1, 1, 5, 5, 1.5), r"train/1\.png: digit 0 has label 1\.5"),
  ],
)
def test_an_image_of_wrong_boxes_is_named_or_left_out_and_counted(
  tmp_path, capsys, bad, match
):
  archives(tmp_path)
  numbers = {"1.png": [bad], "2.png": NUMBERS["train"]["2.png"]}
  write_tar(tmp_path / "train.tar.gz", files("train", numbers))
  with pytest.raises(DataError, match=match):
    data.build(settings("svhn_full", tmp_path), "train")
  wanted = settings("svhn_full", tmp_path, on_error="skip")
  got = whole(data.build(wanted, "train"))
  assert got["attribute"][:, 1].tolist() == [7, 9, 3]
  assert got["image"].any((1, 2, 3)).all()  # no row that nothing was put in
  err = capsys.readouterr().err
  assert "1 of 4 images left out" in err and "train/1.png" in err


def test_a_set_of_wrong_images_alone_says_so(tmp_path):
  numbers: dict[str, Digits] = {"1.png": [(90, 0, 5, 5, 1)]}
  write_tar(tmp_path / "test.tar.gz", files("test", numbers))
  wanted = settings("svhn_full", tmp_path, on_error="skip")
  with pytest.raises(DataError, match="none of 1 images can be used"):
    data.build(wanted, "test")


def test_a_truncated_archive_is_named_wherever_it_ends(tmp_path):
  path = archives(tmp_path) / "test.tar.gz"
  content = path.read_bytes()
  for size in (0, 40, len(content) // 2, len(content) * 3 // 4):
    path.write_bytes(content[:size])
    match = rf"test\.tar\.gz: truncated.*got {size} bytes; fetch http"
    with pytest.raises(DataError, match=match):
      data.build(settings("svhn_full", tmp_path), "test")


def test_an_archive_without_boxes_says_so(tmp_path):
  content = files("test")
  del content["test/digitStruct.mat"]
  write_tar(tmp_path / "test.tar.gz", content)
  with pytest.raises(DataError, match=r"no test/digitStruct\.mat in it"):
    data.build(settings("svhn_full", tmp_path), "test")
  (tmp_path / "test.tar.gz").unlink()
  write_files(tmp_path, content)
  with pytest.raises(DataError, match=r"test: no digitStruct\.mat there; unp"):
    data.build(settings("svhn_full", tmp_path), "test")


def test_an_image_that_is_named_and_not_there_is_an_error(tmp_path):
  content = files("train")
  del content["train/2.png"]
  match = r"no train/2\.png, as of 1 of 3 images that digitStruct\.mat names"
  for place in ("tars", "open"):
    archives(tmp_path / place)
  write_tar(tmp_path / "tars" / "train.tar.gz", content)
  (tmp_path / "open" / "train.tar.gz").unlink()
  write_files(tmp_path / "open", content)
  for place in ("tars", "open"):
    # Not to be skipped: it is the archive that is wrong.
    wanted = settings("svhn_full", tmp_path / place, on_error="skip")
    with pytest.raises(DataError, match=match):
      data.build(wanted, "train")


def test_a_corrupt_image_is_named(tmp_path):
  content = {**files("test"), "test/1.png": b"\x89PNG and no more"}
  write_tar(tmp_path / "test.tar.gz", content)
  with pytest.raises(DataError, match=r"tar\.gz: test/1\.png: corrupt image"):
    data.build(settings("svhn_full", tmp_path), "test")


def test_missing_parts_and_wrong_settings_name_the_way_out(tmp_path):
  archives(tmp_path)
  (tmp_path / "extra.tar.gz").unlink()
  for wanted, split, match in (
    (settings("svhn_full"), "train", r"train\.tar\.gz and extra\.tar\.gz from"),
    (settings("svhn_full", tmp_path), "train", r"needs extra\.tar\.gz or its"),
    (settings("svhn_full", tmp_path, crop=54), "test", "data.crop to 0; got"),
    (settings("svhn_full", tmp_path), "validation", "only train, test; set"),
  ):
    with pytest.raises(DataError, match=match):
      data.build(wanted, split)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
  real = builtins.__import__

  def without(name, *rest, **more):
    if name == "h5py":
      raise ImportError(name)
    return real(name, *rest, **more)

  archives(tmp_path)
  monkeypatch.setattr(builtins, "__import__", without)
  with pytest.raises(DataError, match=r"pip install 'genlat\[svhn\]'"):
    data.build(settings("svhn_full", tmp_path), "test")


def test_names_that_come_twice_are_refused(tmp_path):
  write_tar(tmp_path / "test.tar.gz", files("test"))
  twice = {"1.png": [(1, 1, 5, 5, 1)], "2.png": [(1, 1, 5, 5, 1)]}
  buffer = io.BytesIO(digit_struct(twice))
  with h5py.File(buffer, "r+") as file:
    names = file["digitStruct/name"]
    names[1, 0] = names[0, 0]
  content = {**files("test"), "test/digitStruct.mat": buffer.getvalue()}
  write_tar(tmp_path / "test.tar.gz", content)
  with pytest.raises(DataError, match="names 1 different images in 2 entries"):
    data.build(settings("svhn_full", tmp_path), "test")


def test_a_link_in_an_archive_is_no_image(tmp_path):
  path = write_tar(tmp_path / "test.tar.gz", files("test"))
  with tarfile.open(path, "w:gz") as archive:
    for name, content in files("test").items():
      info = tarfile.TarInfo(name)
      if name.endswith("/1.png"):
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(info)
        continue
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  with pytest.raises(DataError, match=r"no test/1\.png, as of 1 of 1"):
    data.build(settings("svhn_full", tmp_path), "test")


def test_prepared_numbers_are_those_of_the_archives(tmp_path):
  folder, out = archives(tmp_path / "in"), tmp_path / "out"
  argv = ["svhn_full", f"--path={folder}", f"--out={out}"]
  assert prepare.main(argv) == 0
  for split in ("train", "test"):
    source = data.build(settings("svhn_full", folder), split)
    back = data.build(settings("records", out, image_size=64), split)
    assert back.fingerprint == source.fingerprint
    for key, values in whole(source).items():
      np.testing.assert_array_equal(whole(back)[key], values)


def test_prepare_does_not_fetch_what_has_no_known_hash(tmp_path, capsys):
  assert prepare.main(["svhn_full", f"--out={tmp_path / 'out'}"]) == 1
  err = capsys.readouterr().err.strip()
  assert len(err.splitlines()) == 1 and svhn_full.URL in err
