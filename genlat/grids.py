"""Pictures of many images and of training curves."""

import contextlib
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from genlat import files

GAP = 2  # pixels between tiles
WHITE, BLACK = 255, 0
MANY = 12  # lines of a panel that a legend still names
POINTS = 2000  # of a line; of more only each second, third, … is drawn


Path = str | os.PathLike[str]


class NoMetrics(ValueError):
  """None of the metrics that were asked for has been logged."""


def grid(
  images: np.ndarray,
  columns: int,
  *,
  enlarge: int = 1,
  border: bool = False,
  fill: int = WHITE,
) -> np.ndarray:
  """Lays images out in rows, with gaps of 2 pixels between them.

  Args:
    images: uint8 `[N, H, W, C]`, C = 1 or 3.
    columns: images in a row; the last row is filled up with `fill`.
    enlarge: every pixel becomes a square of this many pixels a side.
    border: whether a gap runs around the whole, too.
    fill: grey level of the gaps, 0 (black) to 255.

  Returns:
    uint8 `[H', W', C]`.

  Raises:
    ValueError: for anything else.
  """
  if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
    raise ValueError(
      "a grid is made of uint8 images [N, H, W, C] with N >= 1; got"
      f" {images.dtype} {list(images.shape)}"
    )
  if images.shape[3] not in (1, 3) or columns < 1 or enlarge < 1:
    raise ValueError(
      "a grid needs 1 or 3 channels, columns >= 1 and enlarge >= 1; got"
      f" {images.shape[3]}, {columns} and {enlarge}"
    )
  images = images.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
  count, height, width, channels = images.shape
  columns = min(columns, count)
  rows = -(-count // columns)
  shape = rows, columns, height + GAP, width + GAP, channels
  tiles = np.full(shape, fill, np.uint8).reshape(-1, *shape[2:])
  tiles[:count, :height, :width] = images
  sheet = tiles.reshape(shape).swapaxes(1, 2)
  sheet = sheet.reshape(rows * shape[2], columns * shape[3], channels)
  if not border:
    return sheet[:-GAP, :-GAP]
  edge = [(GAP, 0), (GAP, 0), (0, 0)]
  return np.pad(sheet, edge, constant_values=fill)


def side_by_side(
  originals: np.ndarray,
  reconstructions: np.ndarray,
  columns: int = 4,
  *,
  enlarge: int = 1,
) -> np.ndarray:
  """A grid of pairs: each original touches its reconstruction on the right.

  Args:
    originals: uint8 `[N, H, W, C]`.
    reconstructions: uint8 `[N, H, W, C]`.
    columns: pairs in a row.
    enlarge: as for `grid`.

  Returns:
    uint8 `[H', W', C]`.

  Raises:
    ValueError: if the shapes differ, or as for `grid`.
  """
  if originals.shape != reconstructions.shape:
    raise ValueError(
      "originals and reconstructions must have one shape; got"
      f" {list(originals.shape)} and {list(reconstructions.shape)}"
    )
  pairs = np.concatenate([originals, reconstructions], axis=-2)
  return grid(pairs, columns, enlarge=enlarge)


def first_row(picture: np.ndarray, columns: int) -> np.ndarray:
  """The first images of a `grid` of square ones without a border.

  Args:
    picture: uint8 `[H', W', C]`.
    columns: images in a row.

  Returns:
    uint8 `[columns, S, S, C]`.
  """
  side = (picture.shape[1] + GAP) // columns - GAP
  lefts = range(0, picture.shape[1], side + GAP)
  return np.stack([picture[:side, left : left + side] for left in lefts])


def save_png(path: Path, array: np.ndarray) -> None:
  """Writes a uint8 image `[H, W, C]`; whole or not at all.

  Args:
    path: its folder is made if it does not exist.
    array: the image, C = 1 or 3.
  """
  _replace(pathlib.Path(path), _encode(array))


def curves(
  jsonl_path: Path,
  png_path: Path,
  panels: Sequence[Sequence[str]],
  shares: Sequence[str] = (),
) -> None:
  """Plots metrics over steps: one line a metric and split.

  Args:
    jsonl_path: a run's metrics.jsonl.
    png_path: the picture to write.
    panels: metrics that share a panel; those the run does not have are left
      out. A name that ends in '*' is every metric that begins so.
    shares: metrics from 0 to 1 with an axis of their own, on the right.

  Raises:
    NoMetrics: if the run has none of them.
  """
  from matplotlib import colormaps
  from matplotlib.figure import Figure

  lines = _read(pathlib.Path(jsonl_path))
  known: set[str] = set().union(*lines) - {"step", "split"}
  shown = [_matching(names, known) for names in panels]
  shown = [names for names in shown if names]
  if not shown:
    raise NoMetrics(
      f"{jsonl_path} has none of the metrics {[list(p) for p in panels]};"
      f" it has {sorted(known)}"
    )
  figure = Figure(figsize=(4.5 * len(shown), 3.2), layout="constrained")
  axes = np.ravel(figure.subplots(1, len(shown), squeeze=False))
  for left, names in zip(axes, shown, strict=True):
    right = _right(left, names, shares)
    for name in names:
      axis = right if name in shares else left
      having = [line for line in lines if name in line]
      for split in sorted({line["split"] for line in having}):
        points = [(x["step"], x[name]) for x in having if x["split"] == split]
        points = points[:: 1 + len(points) // POINTS]
        steps, values = np.array(points, float).T
        axis.plot(
          steps,
          values,
          marker="." if len(points) < 20 else "",
          linewidth=1,
          linestyle="-" if axis is left else ":",
          color=None if axis is left else "grey",
          label=split if len(names) == 1 else f"{name}, {split}",
        )
    left.set(xlabel="step", title=names[0] if len(names) == 1 else "")
    drawn = left.get_lines()
    if len(names) > MANY:  # from first to last: dark to light
      left.set(title=f"{names[0]} to {names[-1]}")
      for i, line in enumerate(drawn):
        line.set_color(colormaps["viridis"](i / len(drawn)))
    else:
      extra = right.get_lines() if right is not left else []
      left.legend(handles=[*drawn, *extra], framealpha=0.5, fontsize="small")
  _save(png_path, figure)


def plot(
  png_path: Path,
  along: str,
  x: Sequence[float],
  values: Mapping[str, Sequence[float]],
) -> None:
  """Plots values over others they belong to: one panel a name.

  Args:
    png_path: the picture to write; its folder is made.
    along: name of the abscissa.
    x: the abscissa of each point.
    values: the ordinates by name, each as long as `x`.

  Raises:
    ValueError: without values, or where the lengths differ.
  """
  from matplotlib.figure import Figure

  lengths = {name: len(ys) for name, ys in values.items()}
  if not lengths or set(lengths.values()) != {len(x)}:
    raise ValueError(
      f"a plot needs values, {len(x)} of each name as of {along!r};"
      f" got {lengths}"
    )
  figure = Figure(figsize=(4.5 * len(values), 3.2), layout="constrained")
  axes = np.ravel(figure.subplots(1, len(values), squeeze=False))
  for axis, (name, ys) in zip(axes, values.items(), strict=True):
    axis.plot(x, ys, marker=".", linewidth=1)
    axis.set(xlabel=along, title=name)
  _save(png_path, figure)


def _save(path: Path, figure: Any) -> None:
  """Writes a figure of matplotlib as PNG."""
  picture = io.BytesIO()
  figure.savefig(picture, format="png", dpi=120)
  _replace(pathlib.Path(path), picture.getvalue())


def _right(left: Any, names: Sequence[str], shares: Sequence[str]) -> Any:
  """A second axis for shares beside other metrics, or the one there is."""
  if not set(names) & set(shares) or not set(names) - set(shares):
    return left
  right = left.twinx()
  right.set(
    ylim=(-0.02, 1.02), ylabel=", ".join(n for n in names if n in shares)
  )
  return right


def _matching(names: Sequence[str], known: set[str]) -> list[str]:
  """The metrics that a panel's names stand for."""
  found = []
  for name in names:
    if name.endswith("*"):
      found += sorted(k for k in known if k.startswith(name[:-1]))
    elif name in known:
      found.append(name)
  return found


def _encode(array: np.ndarray) -> bytes:
  picture = io.BytesIO()
  squeezed = array[..., 0] if array.shape[2] == 1 else array
  Image.fromarray(squeezed).save(picture, "png")
  return picture.getvalue()


def _read(path: pathlib.Path) -> list[dict[str, Any]]:
  lines = []
  for line in path.read_text().splitlines():
    with contextlib.suppress(ValueError):  # a kill may have torn the last one
      lines.append(json.loads(line))
  return lines


def _replace(path: pathlib.Path, content: bytes) -> None:
  with files.whole(path) as draft:
    draft.write_bytes(content)
