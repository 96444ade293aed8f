"""SVHN, cropped digits, from the MATLAB files its authors published.

train_32x32.mat and test_32x32.mat hold X, uint8 `[32, 32, 3, N]`, and y,
`[N, 1]` with 1 to 10, where 10 stands for the digit 0.
"""

import pathlib

import numpy as np

from genlat.data import originals
from genlat.data.decode import Recipe, fit_array
from genlat.data.source import (
  ArraySource,
  DataError,
  Settings,
  Source,
  check_split,
)


def load_svhn(config: Settings, split: str) -> Source:
  """SVHN cropped, `[32, 32, 3]` unless resized; label = digit.

  Args:
    config: `path` is the folder of the two files.
    split: 'train' (73257) or 'test' (26032).

  Raises:
    DataError: if a file is missing, truncated, or a label is not 1 to 10.
  """
  check_split("svhn", split, ("train", "test"))
  folder = originals.data_folder("svhn", config.path)
  path = originals.locate("svhn", folder, (f"{split}_32x32.mat",))
  images, labels = _read(path)
  bad = np.flatnonzero((labels < 1) | (labels > 10))
  if len(bad):
    raise DataError(
      f"{path}: label out of range: example {bad[0]} has label"
      f" {labels[bad[0]]}, expected 1 to 10 (10 = digit 0);"
      f" {originals.fetch_hint('svhn')}"
    )
  recipe = Recipe(config.crop, config.image_size)
  return ArraySource(
    "svhn",
    {"image": fit_array(images, recipe, "svhn"), "label": labels % 10},
    classes=[str(digit) for digit in range(10)],
  )


def _read(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  """Images `[N, 32, 32, 3]` and labels `[N]` as stored, 1 to 10."""
  from scipy import io

  try:
    arrays = io.loadmat(str(path), variable_names=["X", "y"])
    images, labels = arrays["X"], arrays["y"].reshape(-1)
    if images.shape[:3] != (32, 32, 3) or images.shape[3] != len(labels):
      raise ValueError(f"X {list(images.shape)}, y {list(arrays['y'].shape)}")
  except Exception as error:  # scipy raises anything on a damaged file
    raise DataError(
      f"{path}: truncated or damaged, or not SVHN's cropped digits ({error}):"
      f" got {path.stat().st_size} bytes"
      f"{originals.size_hint('svhn', path.name)}; expected X [32, 32, 3, N] and"
      f" y [N, 1]; {originals.fetch_hint('svhn')}"
    ) from error
  stacked = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
  return stacked, labels.astype(np.int64)
