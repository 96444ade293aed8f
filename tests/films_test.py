"""Laws of strips and moving pictures of drawings."""

import numpy as np
import pytest
from PIL import Image

from genlat import films, grids
from genlat.nets.attention import Window

BLUE = (0, 0, 200)


def reel(rows: int = 2, steps: int = 3, side: int = 10) -> films.Reel:
  canvas = np.zeros((rows, steps + 1, side, side, 3), np.uint8)
  canvas[:] = BLUE
  boxes = np.tile(np.array([2.0, 3.0, 6.0, 7.0]), (rows, steps, 1))
  return films.Reel(
    canvas, films.Frames(boxes, np.full((rows, steps), 0.25)), None
  )


def test_a_window_s_frame_is_where_its_outer_filters_lie():
  place = Window(*(np.full((1, 1), v) for v in (5.0, 4.0, 1.5, 0.0, 0.0)))
  got = films.frames(place, 3)
  # Centre 5, 4 counted from 1; filters at -1.5, 0, 1.5 from it.
  np.testing.assert_allclose(got.boxes[0, 0], [2.5, 1.5, 5.5, 4.5])
  np.testing.assert_allclose(got.widths, 1.0)
  assert films.frames(None, 3) is None


def test_frames_are_drawn_where_the_stroke_was_and_not_before_it():
  pictures = films.framed(reel(), enlarge=4)
  assert pictures.shape == (2, 4, 40, 40, 3)
  assert (pictures[:, 0] == BLUE).all()
  red = (pictures[1, 2] == films.WRITTEN).all(-1)
  rows, columns = np.nonzero(red)
  # Pixel 2 is 4 x 4 pixels from 8 on: its centre is 10.
  assert (columns.min(), columns.max()) == (10, 26)
  assert (rows.min(), rows.max()) == (14, 30)
  assert not red[16:28, 13:24].any()


def test_a_frame_is_as_wide_as_the_filters():
  given = reel(side=20)
  wide = given.written._replace(widths=np.full((2, 3), 1.0))
  pictures = films.framed(given._replace(written=wide), enlarge=4)
  red = (pictures[1, 2] == films.WRITTEN).all(-1)
  # Across the left edge, half-way down: one pixel of the image, four here.
  assert red[22, :18].sum() == 4 and red[22].sum() == 8


def test_both_windows_are_drawn():
  given = reel()
  boxes = given.written.boxes + np.array([2.0, 2.0, 2.0, 2.0])
  seen = given.written._replace(boxes=boxes)
  pictures = films.framed(given._replace(seen=seen), enlarge=4)
  for colour, at in ((films.WRITTEN, 10), (films.SEEN, 18)):
    found = (pictures[0, 1] == colour).all(-1)
    assert found.any() and np.nonzero(found)[1].min() == at


@pytest.mark.parametrize(
  "box", [[-500, -500, 900, 900], [9e8, 9e8, 9.1e8, 9.1e8], [4, 4, 4, 4]]
)
def test_frames_far_outside_or_of_one_point_do_no_harm(box):
  given = reel(1, 1)
  wild = films.Frames(np.array([[box]], float), np.array([[1e9]]))
  pictures = films.framed(given._replace(written=wild, seen=wild))
  assert pictures.shape == (1, 2, 40, 40, 3)
  assert (pictures[0, 1] == BLUE).all(-1).any()


def test_grey_drawings_without_windows_become_colour():
  canvas = np.arange(2 * 3 * 16, dtype=np.uint8).reshape(2, 3, 4, 4, 1)
  pictures = films.framed(films.Reel(canvas, None, None), enlarge=1)
  np.testing.assert_array_equal(pictures, canvas.repeat(3, -1))


def test_a_strip_keeps_both_ends():
  np.testing.assert_array_equal(films.chosen(64, 5), [0, 16, 32, 48, 64])
  np.testing.assert_array_equal(films.chosen(3, 11), [0, 1, 2, 3])
  given = reel(2, 8)
  given.canvas[:, -1] = 255
  sheet = films.strip(given._replace(written=None), columns=3, enlarge=1)
  assert sheet.shape == (2 * 10 + grids.GAP, 3 * 10 + 2 * grids.GAP, 3)
  assert (sheet[:10, -10:] == 255).all() and (sheet[:10, :10] == BLUE).all()


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_moving_pictures_show_every_step(tmp_path, kind):
  given = reel(4, 5)
  for step in range(6):
    given.canvas[:, step, :2] = 40 * step
  path = tmp_path / f"film.{kind}"
  films.save_moving(path, given)
  with Image.open(path) as picture:
    assert picture.n_frames == 6
    assert picture.size == (2 * 40 + grids.GAP, 2 * 40 + grids.GAP)
    picture.seek(5)
    last = np.asarray(picture.convert("RGB")).astype(int)
  assert abs(last[2, 2] - 200).max() < 12
  assert not list(tmp_path.glob("*.tmp"))


def test_arrays_of_a_film_are_all_of_it(tmp_path):
  given = reel()
  films.save(tmp_path / "film.npz", given)
  with np.load(tmp_path / "film.npz") as found:
    assert set(found) == {"canvas", "written_boxes", "written_widths"}
    np.testing.assert_array_equal(found["canvas"], given.canvas)
    assert found["written_boxes"].shape == (2, 3, 4)
  films.save(tmp_path / "film.png", given)
  with Image.open(tmp_path / "film.png") as picture:
    assert picture.size == (4 * 40 + 3 * grids.GAP, 2 * 40 + grids.GAP)


def test_other_kinds_are_refused(tmp_path):
  with pytest.raises(ValueError, match=r"\.gif or \.webp"):
    films.save_moving(tmp_path / "film.mp4", reel())
