"""A file is there as a whole or not at all."""

import pytest

from genlat import files


def test_a_file_takes_its_place_when_the_block_ends(tmp_path):
  path = tmp_path / "deep" / "a.txt"
  with files.whole(path) as draft:
    draft.write_text("one")
    assert not path.exists()
  assert path.read_text() == "one"
  assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("old")
  with pytest.raises(OSError, match="full"), files.whole(path) as draft:
    draft.write_text("half")
    raise OSError("full")
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path):
  path = tmp_path / "a.txt"
  with files.whole(path) as one, files.whole(path) as other:
    assert one != other
    one.write_text("one")
    other.write_text("other")
  assert path.read_text() == "one"
