"""MNIST, Fashion-MNIST and the fixed binarisation of MNIST.

The first two are read from their idx files, packed (.gz) or plain: two zero
bytes, a type byte (8 = unsigned byte), the rank, one big-endian uint32 per
axis, then the values. The third is Larochelle's text (.amat, 784 digits of 0
and 1 a line), or the same bits packed into one .npz.
"""

import pathlib
import zlib

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

DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = (
  "t-shirt/top",
  "trouser",
  "pullover",
  "dress",
  "coat",
  "sandal",
  "shirt",
  "sneaker",
  "bag",
  "ankle boot",
)
_CLASSES = {"mnist": DIGITS, "fashion_mnist": CLOTHES}
_STEMS = {"train": "train", "test": "t10k"}
_NPZ = "binarized_mnist_packed.npz"


def load_idx(config: Settings, split: str) -> Source:
  """MNIST or Fashion-MNIST, as `config.name` says.

  Args:
    config: `path` is the folder of the four files.
    split: 'train' or 'test'.

  Raises:
    DataError: if a file is missing, truncated, damaged, or the other set's.
  """
  name = config.name
  check_split(name, split, tuple(_STEMS))
  folder = originals.data_folder(name, config.path)
  images = _read(name, folder, f"{_STEMS[split]}-images-idx3-ubyte", 3)
  labels = _read(name, folder, f"{_STEMS[split]}-labels-idx1-ubyte", 1)
  recipe = Recipe(config.crop, config.image_size)
  return ArraySource(
    name,
    {"image": fit_array(images[..., None], recipe, name), "label": labels},
    classes=_CLASSES[name],
  )


def _read(name: str, folder: pathlib.Path, stem: str, rank: int) -> np.ndarray:
  path = originals.locate(name, folder, (f"{stem}.gz", stem))
  size = path.stat().st_size
  for other in _CLASSES:  # the two sets use the same file names
    if other != name and (path.name, size) in [
      (original.file, original.size)
      for original in originals.ORIGINALS[other].files
    ]:
      raise DataError(
        f"{path} is the file of {other}, not of {name}; correct"
        " config.data.path or config.data.name"
      )
  values = read_idx(path, originals.fetch_hint(name))
  if values.ndim != rank:
    raise DataError(
      f"{path}: expected an idx file of rank {rank}, got {values.ndim};"
      f" {originals.fetch_hint(name)}"
    )
  return values


def read_idx(path: pathlib.Path, fix: str) -> np.ndarray:
  """Reads one idx file of unsigned bytes.

  Args:
    path: the file; unpacked where its name ends in .gz.
    fix: what the user should do about a damaged file.

  Returns:
    uint8, of the rank and shape that the file's head states.

  Raises:
    DataError: if the file is truncated, damaged, or no idx file.
  """
  data = path.read_bytes()
  packed = path.suffix == ".gz"
  whole = True
  if packed:
    unpacker = zlib.decompressobj(wbits=31)
    try:
      data = unpacker.decompress(data)
    except zlib.error as error:
      raise DataError(f"{path}: damaged gzip file ({error}); {fix}") from error
    whole = unpacker.eof
  rank = data[3] if len(data) > 3 else 0
  start = 4 + 4 * rank
  if whole and (data[:3] != b"\0\0\x08" or not 1 <= rank <= 4):
    raise DataError(
      f"{path}: not an idx file of unsigned bytes: it begins with"
      f" {data[:4].hex() or 'nothing'}; {fix}"
    )
  shape = tuple(int(n) for n in np.frombuffer(data[4:start][: rank * 4], ">u4"))
  expected = start + int(np.prod(shape, dtype=np.int64))
  if not whole or len(data) != expected:
    raise DataError(
      f"{path}: truncated or damaged: expected {expected} bytes"
      f"{' unpacked' if packed else ''}, got {len(data)}; {fix}"
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def load_binarized(config: Settings, split: str) -> Source:
  """The fixed binarisation of MNIST: 50000 train, 10000 valid, 10000 test.

  Pixels are 0 or 255 and there are no labels. It is the fixed binarisation of
  Larochelle and Murray, 'The Neural Autoregressive Distribution Estimator'
  (2011), on which likelihoods of MNIST are compared.

  Args:
    config: `path` is the .npz, or the folder of it or of the three .amat.
    split: 'train', 'validation' or 'test'.

  Raises:
    DataError: if a file is missing, truncated or damaged.
  """
  name = "binarized_mnist"
  if config.crop not in (0, 28) or config.image_size not in (0, 28):
    raise DataError(
      "binarized_mnist resized or cut would not be binary: set"
      " config.data.crop and config.data.image_size to 0"
    )
  check_split(name, split, ("train", "validation", "test"))
  folder = originals.data_folder(name, config.path)
  part = "valid" if split == "validation" else split
  text = f"{name}_{part}.amat"
  path = folder
  if folder.is_dir():
    path = originals.locate(name, folder, (_NPZ, text))
  bits = _amat(path) if path.suffix == ".amat" else _packed(path, part)
  images = (bits * np.uint8(255)).reshape(-1, 28, 28, 1)
  recipe = Recipe(config.crop, config.image_size)
  return ArraySource(name, {"image": fit_array(images, recipe, name)})


def _packed(path: pathlib.Path, part: str) -> np.ndarray:
  """uint8 0 or 1 `[N, 784]` of one part of the .npz."""
  try:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
      packed = arrays[part]
    if packed.dtype != np.uint8 or packed.shape[1:] != (98,):
      raise ValueError(f"{part} is {packed.dtype} {list(packed.shape)}")
  except Exception as error:  # zipfile, zlib and numpy each have their own
    raise DataError(
      f"{path}: damaged, or not the packed binarized MNIST ({error}); expected"
      f" train, valid and test uint8 [N, 98], got {path.stat().st_size} bytes;"
      f" {originals.fetch_hint('binarized_mnist')}"
    ) from error
  return np.unpackbits(packed, axis=1)


def _amat(path: pathlib.Path) -> np.ndarray:
  """uint8 0 or 1 `[N, 784]` of a text of 784 digits a line."""
  data = np.frombuffer(path.read_bytes(), np.uint8)
  line = 2 * 784  # each digit is followed by a space or the line's end
  rest = len(data) % line
  bits = data[: len(data) - rest : 2] - np.uint8(ord("0"))
  if rest or not len(bits) or bits.max() > 1:
    raise DataError(
      f"{path}: truncated or damaged: expected lines of {line} bytes of 0 and"
      f" 1, got {len(data)} bytes"
      f"{originals.size_hint('binarized_mnist', path.name)};"
      f" {originals.fetch_hint('binarized_mnist')}"
    )
  return bits.reshape(-1, 784)
