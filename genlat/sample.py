"""Writes images that a model made: a grid as PNG, or arrays as npz."""

import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from genlat import data, grids

FORMATS = (".npz", ".png")


def real_images(config: ConfigDict, n: int, seed: int) -> np.ndarray:
  """`n` different images of `config.evaluation.split`, uint8 `[n, H, W, C]`.

  Raises:
    ValueError: if the split has fewer.
  """
  source = data.load(config.data, config.evaluation.split)
  if n > len(source):
    raise ValueError(
      f"--n asks for {n} images of the {config.evaluation.split} split, which"
      f" has {len(source)}"
    )
  rows = np.random.default_rng(seed).permutation(len(source))[:n]
  return source.read(rows)["image"]


def write(path: pathlib.Path, images: np.ndarray) -> None:
  """Writes uint8 images `[N, H, W, C]`, or rows of them `[N, S, H, W, C]`.

  Raises:
    ValueError: for a file that is neither .png nor .npz.
  """
  columns = images.shape[1] if images.ndim == 5 else 0
  flat = images.reshape(-1, *images.shape[-3:])
  columns = columns or max(1, round(len(flat) ** 0.5))
  _write(path, {"images": images}, grids.grid(flat, columns))


def write_pairs(
  path: pathlib.Path, originals: np.ndarray, copies: np.ndarray
) -> None:
  """Writes originals beside their reconstructions, uint8 `[N, H, W, C]`.

  Raises:
    ValueError: for a file that is neither .png nor .npz.
  """
  columns = max(1, round(len(originals) ** 0.5))
  picture = grids.side_by_side(originals, copies, columns)
  arrays = {"images": originals, "reconstructions": copies}
  _write(path, arrays, picture)


def _write(
  path: pathlib.Path, arrays: dict[str, np.ndarray], picture: np.ndarray
) -> None:
  if path.suffix not in FORMATS:
    raise ValueError(
      f"--out must end in {' or '.join(FORMATS)}; got {str(path)!r}"
    )
  if jax.process_index():
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == ".npz":
    np.savez_compressed(path, **arrays)  # pyright: ignore[reportArgumentType]
  else:
    grids.save_png(path, picture)
  print(path)
