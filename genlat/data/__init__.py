"""Data sets: sources of images by index, and the table of them.

A new data set is one function `(settings, split) -> Source` and one line in
`DATASETS`. Libraries that are slow to import are imported by the function that
needs them.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from genlat.data import (
  celeba,
  cifar10,
  composition,
  crops,
  flowers,
  folder,
  mnist,
  records,
  scenes,
  svhn,
  svhn_full,
  synthetic,
  tfds,
)
from genlat.data import split as splitting
from genlat.data.source import Settings, Source

DATASETS: dict[str, Callable[[Settings, str], Source]] = {
  "digits": synthetic.load_digits,
  "shapes": synthetic.load_shapes,
  "mnist": mnist.load_idx,
  "fashion_mnist": mnist.load_idx,
  "binarized_mnist": mnist.load_binarized,
  "two_digits": scenes.load_two_digits,
  "cluttered_mnist": scenes.load_cluttered,
  "cifar10": cifar10.load_cifar10,
  "svhn": svhn.load_svhn,
  "svhn_full": svhn_full.load_svhn_full,
  "celeba": celeba.load_celeba,
  "flowers": flowers.load_flowers,
  "folder": folder.load_folder,
  "records": records.load_records,
  "tfds": tfds.load_tfds,
}

# They cut their own digits into train and validation.
CUT = composition.KINDS

SPLITS = ("train", "validation", "test")


def load(config: ConfigDict, split: str, *, whole: bool = False) -> Source:
  """One split of the data set that `config.data` names.

  With `validation` above 0 that share of train becomes the validation split,
  whatever the data set; with 0, validation is the data set's own, if any.
  With `random_crop` above 0 images are the central squares of that size.

  Args:
    config: `config.data`.
    split: 'train', 'validation' or 'test'.
    whole: whether images stay uncut: for a feeder, of which the train step
      cuts squares at random places.

  Returns:
    The source; 'train' is without what was cut off for validation.

  Raises:
    ValueError: if name or split are unknown, or a value is out of range.
    DataError: if the files are missing, damaged or of the wrong size.
  """
  source = build(Settings.of(config), split)
  return source if whole else crops.central(source, crops.side_of(config))


def fed(source: Source) -> Source:
  """What a train step is fed of a source: digits, where it composes scenes."""
  digits = source.digits if isinstance(source, scenes.SceneSource) else None
  return digits or source


def build(settings: Settings, split: str) -> Source:
  """`load` for settings that are checked already; images uncut."""
  if split not in SPLITS:
    raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
  name = "tfds" if settings.name.startswith("tfds:") else settings.name
  if name not in DATASETS:
    raise ValueError(
      f"unknown config.data.name {settings.name!r}; known:"
      f" {', '.join(DATASETS)} (tfds as tfds:NAME)"
    )
  if settings.validation and split != "test" and name not in CUT:
    train = DATASETS[name](settings, "train")
    return splitting.validation_split(train, settings.validation, split)
  return DATASETS[name](settings, split)
