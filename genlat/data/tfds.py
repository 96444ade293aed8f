"""Image sets of TensorFlow Datasets, read without TensorFlow.

A set that was prepared as ArrayRecord is read by `tfds.data_source`. Only the
first preparation needs TensorFlow; it is an extra of genlat, and genlat never
starts a preparation by itself. Examples keep TFDS's own order.
"""

from typing import Any

import numpy as np
from PIL import Image

from genlat.data.decode import Recipe, fit
from genlat.data.source import DataError, Settings, Source, check_labels, digest


def load_tfds(config: Settings, split: str) -> Source:
  """The set that `config.name` names as 'tfds:NAME' or 'tfds:NAME/CONFIG'.

  Args:
    config: `path` is TFDS's data_dir; '' = its default.
    split: a split of the set.

  Raises:
    DataError: if the set is unknown, not prepared, prepared in another file
      format than ArrayRecord, or has no such split or no image.
  """
  import tensorflow_datasets

  name = config.name.partition(":")[2]
  if not name:
    raise DataError("config.data.name=tfds: lacks a set; write tfds:mnist")
  try:
    examples = tensorflow_datasets.data_source(
      name, split=split, data_dir=config.path or None, download=False
    )
  except tensorflow_datasets.core.DatasetNotFoundError as error:
    raise DataError(f"TFDS knows no set {name!r}; correct the name") from error
  except (NotImplementedError, ImportError, OSError, AssertionError) as error:
    raise DataError(_unprepared(name, config.path)) from error
  except ValueError as error:  # an unknown split
    reason = " ".join(str(error).split())[:200]
    raise DataError(f"tfds:{name}, split '{split}': {reason}") from error
  return TfdsSource(config.name, split, examples, config)


def _unprepared(name: str, path: str) -> str:
  place = f" --data_dir={path}" if path else ""
  return (
    f"tfds:{name} is not prepared as ArrayRecord"
    f"{f' in {path}' if path else ''}; preparing needs TensorFlow once:"
    " pip install 'genlat[tfds]', then tfds build"
    f" {name} --file_format=array_record{place}"
  )


class TfdsSource:
  """A source over `tfds.data_source`."""

  def __init__(
    self, name: str, split: str, examples: Any, config: Settings
  ) -> None:
    """Wraps the examples.

    Raises:
      DataError: if they have no 'image', or one that is not 8-bit grey or RGB,
        or images of many sizes are not resized.
    """
    info = examples.dataset_info
    features = info.features
    if "image" not in features:
      raise DataError(
        f"{name} has no feature 'image', only {', '.join(features)}; it is no"
        " image set that genlat can read"
      )
    shape = features["image"].shape
    self._recipe = Recipe(config.crop, config.image_size)
    side = self._recipe.image_size or self._recipe.crop
    if not side and None in shape[:2]:
      raise DataError(
        f"{name} has images of many sizes; set config.data.image_size"
      )
    channels = shape[2]
    if channels not in (1, 3) or features["image"].np_dtype != np.uint8:
      raise DataError(
        f"{name}: expected uint8 images with 1 or 3 channels, got {shape}"
      )
    side = side or min(shape[:2])
    self.name = name
    self.image_shape: tuple[int, int, int] = (side, side, channels)
    label = features["label"] if "label" in features else None
    self.classes = tuple(getattr(label, "names", None) or ())
    self._examples = examples
    self.fingerprint = digest(
      f"tfds {info.full_name} {split} {len(examples)}",
      f"{self._recipe.crop} {self._recipe.image_size} bilinear",
    )

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._examples)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Decodes the examples at `indices` `[B]`; see `Source.read`."""
    examples = [self._example(int(i)) for i in indices]
    images = np.empty((len(examples), *self.image_shape), np.uint8)
    for image, example, index in zip(images, examples, indices, strict=True):
      image[:] = self._fit(example["image"], f"{self.name}: example {index}")
    batch: dict[str, np.ndarray] = {"image": images}
    if self.classes:
      labels = np.array([e["label"] for e in examples], np.int32)
      check_labels(self.name, labels, len(self.classes))
      batch["label"] = labels
    return batch

  def captions(self, indices: np.ndarray) -> list[str]:
    """None: '' per index."""
    return [""] * len(indices)

  def _example(self, index: int) -> dict[str, np.ndarray]:
    try:
      return self._examples[index]
    except (RuntimeError, OSError, ValueError) as error:
      raise DataError(
        f"{self.name}: example {index} of {len(self)} cannot be read"
        f" ({str(error).splitlines()[0]}); prepare the set again"
      ) from error

  def _fit(self, image: np.ndarray, where: str) -> np.ndarray:
    if image.shape == self.image_shape and not self._recipe.crop:
      return image
    flat = image[..., 0] if image.shape[-1] == 1 else image
    fitted = np.asarray(fit(Image.fromarray(flat), self._recipe, where))
    return fitted.reshape(self.image_shape)
