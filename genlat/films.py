"""Drawings step by step, as strips and as moving pictures.

A window is framed where its outermost filters lie; the frame is as wide as the
filters are, as in Gregor et al. 2015 (arXiv:1502.04623, figures 2 and 6).
"""

import io
import pathlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from genlat import files, grids

WRITTEN, SEEN = (220, 30, 30), (30, 150, 40)
_ENLARGE = 4
_MILLISECONDS, _LAST = 100, 1500  # of a frame, and of the last one
MOVING = (".gif", ".webp")


class Frames(NamedTuple):
  """Windows of one kind, by row and step.

  Attributes:
    boxes: left, upper, right and lower edge in pixels from 0, `[B, T, 4]`.
    widths: standard deviation of the filters in pixels, `[B, T]`.
  """

  boxes: np.ndarray
  widths: np.ndarray


class Reel(NamedTuple):
  """Drawings, ready to be shown.

  Attributes:
    canvas: uint8 `[B, T + 1, H, W, C]`.
    written: where strokes were made, or None.
    seen: where the image was read, or None.
  """

  canvas: np.ndarray
  written: Frames | None
  seen: Frames | None


def frames(place: Any, n: int) -> Frames | None:
  """Windows of n filters an edge as frames.

  Args:
    place: a `nets.attention.Window` of arrays `[B, T]`, or None.
    n: filters along an edge.
  """
  if place is None:
    return None
  reach = 0.5 * (n - 1) * place.stride
  # A window counts pixels from 1.
  x, y = place.x - 1.0, place.y - 1.0
  boxes = np.stack([x - reach, y - reach, x + reach, y + reach], -1)
  return Frames(boxes, np.exp(0.5 * place.log_variance))


def framed(reel: Reel, enlarge: int = _ENLARGE) -> np.ndarray:
  """Enlarged colour pictures with the windows that led to them.

  Args:
    reel: the drawings.
    enlarge: pixels a side that a pixel becomes.

  Returns:
    uint8 `[B, T + 1, H', W', 3]`; the first, before any stroke, has no frame.
  """
  canvas = reel.canvas
  if canvas.shape[-1] == 1:
    canvas = canvas.repeat(3, -1)
  big = canvas.repeat(enlarge, 2).repeat(enlarge, 3)
  for frames, colour in ((reel.seen, SEEN), (reel.written, WRITTEN)):
    if frames is None:
      continue
    for row in range(big.shape[0]):
      for step in range(big.shape[1] - 1):
        box = (frames.boxes[row, step] + 0.5) * enlarge
        wide = frames.widths[row, step] * enlarge
        big[row, step + 1] = _frame(big[row, step + 1], box, wide, colour)
  return big


def chosen(steps: int, columns: int) -> np.ndarray:
  """At most `columns` of the pictures 0 ... steps, both ends among them."""
  return np.unique(np.linspace(0, steps, columns).round().astype(int))


def strip(reel: Reel, columns: int = 11, enlarge: int = _ENLARGE) -> np.ndarray:
  """A drawing a row and some of its steps in columns, uint8 `[H', W', 3]`."""
  pictures = framed(reel, enlarge)
  pictures = pictures[:, chosen(pictures.shape[1] - 1, columns)]
  flat = pictures.reshape(-1, *pictures.shape[2:])
  return grids.grid(flat, pictures.shape[1])


def save(path: pathlib.Path, reel: Reel) -> None:
  """Writes drawings: .gif and .webp move, .png is a strip, .npz has arrays.

  The arrays are `canvas` `[B, T + 1, H, W, C]`, and `written_boxes`,
  `written_widths`, `seen_boxes`, `seen_widths` where there are windows.
  """
  if path.suffix in MOVING:
    save_moving(path, reel)
  elif path.suffix == ".npz":
    arrays: dict[str, Any] = {"canvas": reel.canvas}
    for name in ("written", "seen"):
      found = getattr(reel, name)
      if found is not None:
        arrays[f"{name}_boxes"] = found.boxes
        arrays[f"{name}_widths"] = found.widths
    with files.whole(path) as draft, open(draft, "wb") as file:
      np.savez_compressed(file, **arrays)
  else:
    grids.save_png(path, strip(reel))


def save_moving(path: pathlib.Path, reel: Reel) -> None:
  """Writes all drawings side by side as a .gif or .webp that moves.

  Raises:
    ValueError: for another kind of file.
  """
  if path.suffix not in MOVING:
    raise ValueError(
      f"a moving picture is a {' or '.join(MOVING)}; got {str(path)!r}"
    )
  pictures = framed(reel)
  columns = max(1, round(len(pictures) ** 0.5))
  sheets = [
    Image.fromarray(grids.grid(pictures[:, t], columns))
    for t in range(pictures.shape[1])
  ]
  if path.suffix == ".gif":
    # Without dithering: the ground must not flicker.
    sheets = [s.quantize(dither=Image.Dither.NONE) for s in sheets]
  out = io.BytesIO()
  sheets[0].save(
    out,
    path.suffix[1:],
    save_all=True,
    append_images=sheets[1:],
    duration=[*[_MILLISECONDS] * (len(sheets) - 1), _LAST],
    loop=0,
  )
  with files.whole(path) as draft:
    draft.write_bytes(out.getvalue())


def _frame(
  image: np.ndarray, box: np.ndarray, wide: float, colour: tuple[int, int, int]
) -> np.ndarray:
  """An image with a rectangle drawn on it; nothing outside of the image."""
  drawn = Image.fromarray(image)
  # A frame wider than the picture would say no more and cover all.
  width = int(np.clip(round(wide), 1, max(1, min(drawn.size) // 10)))
  edges = np.clip(np.sort(box.reshape(2, 2), 0), -1e4, 1e4).round().ravel()
  ImageDraw.Draw(drawn).rectangle(
    [int(e) for e in edges], outline=colour, width=width
  )
  return np.asarray(drawn)
