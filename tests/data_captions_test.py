"""Laws of captioned folders and of the flowers' published layout."""

import numpy as np
import pytest
from data_layouts import (
  encoded,
  images_by_name,
  pixels,
  settings,
  write_files,
  write_zip,
)

from genlat import data
from genlat.data import archive, flowers
from genlat.data import captioned as captioned_files
from genlat.data.source import DataError

EVERY = ("a.png", "b.png", "c.png", "d.png")


def captioned(table: str) -> dict[str, bytes]:
  files = images_by_name(*(f"train/{n}" for n in EVERY))
  return {**files, "captions.csv": table.encode()}


TABLE = (
  'file,caption,label\r\na.png,"one, two",x\r\nb.png,three,y\r\n'
  "b.png,a  third,y\r\nc.png,four,x\r\nd.png,five,z\r\n"
)


@pytest.mark.parametrize("write", [write_files, write_zip])
def test_a_table_gives_captions_and_labels(tmp_path, write):
  place = tmp_path / ("set.zip" if write is write_zip else "set")
  write(place, captioned(TABLE))
  source = data.build(settings("folder", place), "train")
  assert source.captions(np.array([0, 1, 3])) == [
    *("one, two", "three\na third", "five")
  ]
  assert source.classes == ("x", "y", "z")
  assert source.read(np.arange(4))["label"].tolist() == [0, 1, 0, 2]


def test_a_table_without_labels_gives_captions_alone(tmp_path):
  lines = "".join(f"{name},say {name}\n" for name in EVERY)
  write_files(tmp_path, captioned("file,caption\n" + lines))
  source = data.build(settings("folder", tmp_path), "train")
  assert source.classes == ()
  assert set(source.read(np.arange(1))) == {"image"}
  assert source.captions(np.array([2])) == ["say c.png"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
  files = images_by_name("set/cat/1.png", "set/dog/1.png", "set/dog/2.png")
  by_path = "file,caption,label\ncat/1.png,a cat,c\ndog/1.png,a dog,d\n"
  table = {"set/captions.csv": (by_path + "2.png\n").encode()}
  write_zip(tmp_path / "set.zip", {**files, **table})
  plain = settings("folder", tmp_path / "set.zip")
  lines = {}
  for split in ("train", "test"):
    try:
      source = data.build(plain, split)
    except DataError:  # a hash may leave a split of three files empty
      continue
    found = source.captions(np.arange(len(source)))
    lines |= dict(zip(source.names, found, strict=True))
    assert source.classes == ("cat", "dog")  # one file has no label there
  assert lines == {
    "set/cat/1.png": "a cat",
    "set/dog/1.png": "a dog",
    "set/dog/2.png": "",
  }
  wrong = {"set/captions.csv": b"file,caption\n1.png,which\n"}
  write_zip(tmp_path / "wrong.zip", {**files, **wrong})
  with pytest.raises(DataError, match="one of several files"):
    for split in ("train", "test"):
      data.build(settings("folder", tmp_path / "wrong.zip"), split)


def test_whole_names_mean_their_files():
  names = ["a.png", "sub/a.png"]
  files = archive.Labelled(names)
  table = "file,caption\na.png,above\nsub/a.png,below\n"
  assert captioned_files.tell(files, table, "set").captions == [
    *("above", "below")
  ]
  with pytest.raises(DataError, match="one of several files"):
    captioned_files.tell(files, "file,caption\na.png,above\n", "set")


@pytest.mark.parametrize(
  ("table", "line"),
  [
    ("name,caption\na.png,x\n", "must name the columns file and caption"),
    ("", "got none"),
    ("file,caption,label\na.png,x,1\na.png,y,2\n", "has labels '1' and '2'"),
  ],
)
def test_a_table_that_does_not_serve_is_named(tmp_path, table, line):
  write_files(tmp_path, captioned(table))
  with pytest.raises(DataError, match=line):
    data.build(settings("folder", tmp_path), "train")


def flower_files(classes: dict[int, list[int]]) -> dict[str, bytes]:
  files: dict[str, bytes] = {}
  for kind, images in classes.items():
    for i in images:
      name = f"image_{i:05d}"
      files[f"jpg/{name}.jpg"] = encoded(pixels(12, 12, 3, seed=i), "JPEG")
      lines = "\n".join(f"petals {i} of {kind}, line {j}" for j in range(10))
      files[f"text_c10/class_{kind:05d}/{name}.txt"] = f"{lines}\n".encode()
  return files


def test_flowers_have_ten_captions_and_classes_of_their_own_a_split(tmp_path):
  write_files(tmp_path, flower_files({1: [6734, 2], 5: [9], 102: [4]}))
  (tmp_path / "trainvalids.txt").write_text("class_00001\n00102\n")
  train = data.build(settings("flowers", tmp_path, image_size=8), "train")
  assert len(train) == 3 and train.image_shape == (8, 8, 3)
  batch = train.read(np.arange(3))
  assert batch["label"].tolist() == [0, 101, 0]  # images 2, 4, 6734
  first = train.captions(np.array([2]))[0].splitlines()
  assert len(first) == 10 and first[3] == "petals 6734 of 1, line 3"
  test = data.build(settings("flowers", tmp_path), "test")
  assert test.read(np.arange(1))["label"].tolist() == [4]


def test_without_a_list_a_fifth_of_the_classes_is_test(tmp_path):
  train = flowers._train_classes(tmp_path)
  assert 75 <= len(train) <= 88 and train <= set(range(1, 103))
  assert sorted(set(range(1, 103)) - train)[:3] == FIRST_HELD


FIRST_HELD = [20, 25, 35]


def test_flowers_that_do_not_agree_are_named(tmp_path):
  files = flower_files({1: [1, 2]})
  (tmp_path / "trainvalids.txt").write_text("1\n")
  with pytest.raises(DataError, match="needs text_c10"):
    data.build(settings("flowers", tmp_path), "train")
  del files["jpg/image_00002.jpg"]
  write_files(tmp_path, files)
  with pytest.raises(DataError, match=r"no image_00002.jpg, as of 1 of 2"):
    data.build(settings("flowers", tmp_path), "train")
  with pytest.raises(DataError, match="no image in split 'test'"):
    data.build(settings("flowers", tmp_path), "test")
  (tmp_path / "text_c10/class_00001/image_00001.txt").write_text("\n")
  (tmp_path / "text_c10/class_00001/image_00002.txt").unlink()
  with pytest.raises(DataError, match="no caption in it"):
    data.build(settings("flowers", tmp_path), "train")
  (tmp_path / "trainvalids.txt").write_text("roses\n")
  with pytest.raises(DataError, match="is no class of 1 to 102"):
    data.build(settings("flowers", tmp_path), "train")


def test_the_emoji_at_hand_are_captioned(real_data):
  path = real_data / "noto_emoji_64.zip"
  if not path.exists():
    pytest.skip(f"no {path.name} at hand")
  source = data.build(settings("folder", path), "train")
  assert len(source) > 1500 and source.image_shape == (64, 64, 3)
  assert all(source.captions(np.arange(len(source))))
  assert "Symbols" in source.classes
