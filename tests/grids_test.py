"""Laws of grids, pairs and curves."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from genlat import grids


def images(count: int, channels: int, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(0, 200, (count, 4, 3, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_stand_where_they_belong(channels: int):
  tiles = images(5, channels)
  sheet = grids.grid(tiles, 2)
  assert sheet.shape == (3 * 4 + 2 * 2, 2 * 3 + 2, channels)
  assert sheet.dtype == np.uint8
  rest = sheet.astype(int)
  for i, tile in enumerate(tiles):
    top, left = (i // 2) * 6, (i % 2) * 5
    np.testing.assert_array_equal(sheet[top : top + 4, left : left + 3], tile)
    rest[top : top + 4, left : left + 3] = 255
  assert (rest == 255).all()


def test_the_first_row_is_cut_out_again():
  tiles = images(5, 3)[:, :3]
  row = grids.first_row(grids.grid(tiles, 2), 2)
  np.testing.assert_array_equal(row, tiles[:2])


def test_a_row_is_no_wider_than_its_images():
  assert grids.grid(images(2, 1), 8).shape == (4, 8, 1)


def test_enlarging_repeats_pixels():
  tiles = images(2, 3)
  sheet = grids.grid(tiles, 2, enlarge=3)
  assert sheet.shape == (12, 20, 3)
  for row in range(3):
    np.testing.assert_array_equal(sheet[row::3, row:9:3], tiles[0])
    np.testing.assert_array_equal(sheet[row::3, 11 + row :: 3], tiles[1])


def test_pairs_touch():
  left, right = images(3, 1, 1), images(3, 1, 2)
  sheet = grids.side_by_side(left, right, 2)
  assert sheet.shape == (10, 14, 1)
  np.testing.assert_array_equal(sheet[:4, :3], left[0])
  np.testing.assert_array_equal(sheet[:4, 3:6], right[0])
  np.testing.assert_array_equal(sheet[:4, 8:11], left[1])
  np.testing.assert_array_equal(sheet[6:, 3:6], right[2])


def test_what_makes_no_grid_is_named():
  with pytest.raises(ValueError, match=r"float32 \[2, 4, 3, 1\]"):
    grids.grid(images(2, 1).astype(np.float32), 2)
  with pytest.raises(ValueError, match=r"N >= 1.*\[0, 4, 3, 1\]"):
    grids.grid(images(0, 1), 2)
  with pytest.raises(ValueError, match="1 or 3 channels.*got 2"):
    grids.grid(images(2, 2), 2)
  with pytest.raises(ValueError, match="got 1, 0 and 1"):
    grids.grid(images(2, 1), 0)
  with pytest.raises(ValueError, match=r"one shape.*\[2, .*\[3, "):
    grids.side_by_side(images(2, 1), images(3, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_same_pixels(tmp_path: pathlib.Path, channels: int):
  sheet = grids.grid(images(4, channels), 2)
  path = tmp_path / "new" / "sheet.png"
  grids.save_png(path, sheet)
  with Image.open(path) as picture:
    assert picture.mode == ("L" if channels == 1 else "RGB")
    read = np.asarray(picture).reshape(sheet.shape)
  np.testing.assert_array_equal(read, sheet)
  assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


def test_a_sheet_with_a_border_has_the_paper_s_size():
  """aae.md 7: 10 x 10 tiles of 32 pixels, 2 pixels apart, are 342 x 342."""
  tiles = images(100, 1).repeat(8, axis=1).repeat(11, axis=2)[:, :32, :32]
  sheet = grids.grid(tiles, 10, border=True)
  assert sheet.shape == (342, 342, 1)
  np.testing.assert_array_equal(sheet[2:-2, 2:-2], grids.grid(tiles, 10))
  row, column = 3, 7
  top, left = 2 + 34 * row, 2 + 34 * column
  np.testing.assert_array_equal(
    sheet[top : top + 32, left : left + 32], tiles[10 * row + column]
  )


def test_a_plot_has_a_panel_a_name(tmp_path: pathlib.Path):
  path = tmp_path / "new" / "plot.png"
  sizes, drawn = [], []
  for values in ({"mse": [2.0, 1.0]}, {"mse": [2.0, 1.0], "psnr": [0.0, 9.0]}):
    grids.plot(path, "rate", [0.0, 3.0], values)
    with Image.open(path) as picture:
      sizes.append(picture.size)
      blue = np.asarray(picture.convert("RGB")).astype(int)
      blue = (blue[..., 2] - blue[..., 0] > 60).any(0)
      drawn.append(np.flatnonzero(blue))
  assert sizes[1] == (2 * sizes[0][0], sizes[0][1])
  # A curve in each half, and none from one to the other.
  middle = sizes[0][0]
  assert drawn[1].min() < middle < drawn[1].max()
  assert not (abs(drawn[1] - middle) < 10).any()
  with pytest.raises(ValueError, match=r"2 of each name.*\{'mse': 1\}"):
    grids.plot(tmp_path / "none.png", "rate", [0.0, 3.0], {"mse": [1.0]})
  with pytest.raises(ValueError, match="a plot needs values"):
    grids.plot(tmp_path / "none.png", "rate", [], {})
  assert not (tmp_path / "none.png").exists()


def test_curves_are_drawn_from_the_log(tmp_path: pathlib.Path):
  log = tmp_path / "metrics.jsonl"
  lines = [
    {"step": step, "split": split, "loss": loss}
    for step, loss in ((1, 2.0), (2, "nan"), (3, 1.0))
    for split in ("train", "validation")
  ]
  torn = '\n{"step": 4, "spl'
  log.write_text("\n".join(map(json.dumps, lines)) + torn)
  grids.curves(log, tmp_path / "one.png", (("loss",), ("kl", "kl_real")))
  lines.append({"step": 3, "split": "train", "kl": 3.0})
  log.write_text("\n".join(map(json.dumps, lines)))
  grids.curves(log, tmp_path / "two.png", (("loss",), ("kl", "kl_real")))
  with Image.open(tmp_path / "one.png") as one:
    with Image.open(tmp_path / "two.png") as two:
      assert two.width == 2 * one.width and two.height == one.height
      assert len(one.getcolors(one.width * one.height)) > 2
  with pytest.raises(
    ValueError, match=r"\[\['fid'\]\]; it has \['kl', 'loss'\]"
  ):
    grids.curves(log, tmp_path / "none.png", (("fid",),))
  assert not (tmp_path / "none.png").exists()


def test_a_share_beside_other_metrics_has_an_axis_of_its_own(
  tmp_path, monkeypatch
):
  figures = []
  monkeypatch.setattr(grids, "_save", lambda path, f: figures.append(f))
  log = tmp_path / "metrics.jsonl"
  log.write_text('{"step": 1, "split": "train", "kl": 900, "active": 0.5}')
  panels = (("kl", "active"), ("active",))
  grids.curves(log, tmp_path / "curves.png", panels, ("active",))
  both, alone, right = figures[0].axes
  assert [len(a.get_lines()) for a in (both, alone, right)] == [1, 1, 1]
  assert right.get_ylim() == (-0.02, 1.02) and both.get_ylim()[1] > 900
  shown = [text.get_text() for text in both.get_legend().get_texts()]
  assert shown == ["kl, train", "active, train"]
