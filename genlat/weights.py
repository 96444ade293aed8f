"""Reads pretrained weights: tensors only, checked by their SHA-256.

Nothing here is unpickled, so a weight file cannot run code. Two formats are
read: npz (arrays of plain types) and safetensors. A `.pth` file of PyTorch is
a pickle; docs/evaluation.md has the command that makes safetensors of it, where
PyTorch is at hand. The networks know PyTorch's names, so these
published files serve once converted: pytorch-fid's
`pt_inception-2015-12-05-6726825d.pth` (release `fid_weights`) and
torchvision's `vgg16-397923af.pth`.
"""

import hashlib
import os
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np


class Published(NamedTuple):
  """A file whose content is known.

  Attributes:
    file: its name.
    sha256: of its content.
    holds: what is in it, in words.
    instead: a published file that serves as well after conversion.
  """

  file: str
  sha256: str
  holds: str
  instead: str


PUBLISHED = {
  "inception": Published(
    "inception_fid_fp16.npz",
    "3a696bcadd21e4b4cf71c7f1bd3a4d2dbe4ce7447c8affcf38ca73967d384d37",
    "the InceptionV3 of the Fréchet distance",
    "pt_inception-2015-12-05-6726825d.pth",
  ),
  "vgg": Published(
    "vgg16_lpips_fp16.npz",
    "c95e8b92f73637aab9bb8732f15ce907f51f4c9189ee5dce3ea756b53a0bfd4f",
    "the convolutions of VGG-16",
    "vgg16-397923af.pth",
  ),
}

HELP = "docs/evaluation.md, Weights,"
_BLOCK = 1 << 20


def sha256(path: str | os.PathLike[str]) -> str:
  """Hex digest of a file's content."""
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()


def check(
  path: str | os.PathLike[str], expected: str = "", network: str = ""
) -> str:
  """Makes sure that a weight file is there and is the one expected.

  Args:
    path: the file.
    expected: its SHA-256; '' = that of the network's published file, or any
      where `network` is ''.
    network: a key of PUBLISHED where the file is of that network: the error
      then names the file to get and the config key to set.

  Returns:
    The file's SHA-256.

  Raises:
    OSError: if there is no such file.
    ValueError: if its content is not the one expected.
  """
  file = pathlib.Path(path)
  if not file.is_file():
    named = f"{path} is no file" if str(path) else "no weight file is named"
    raise FileNotFoundError(f"{named}; {_way_out(network)}")
  got = sha256(file)
  published = PUBLISHED[network].sha256 if network else got
  wanted = expected.lower() or published
  if got != wanted:
    raise ValueError(
      f"{file} has SHA-256 {got}, expected {wanted}: it is cut short or"
      f" another file; {_way_out(network)}"
    )
  return got


def load(
  path: str | os.PathLike[str], sha256: str = "", *, network: str = ""
) -> dict[str, np.ndarray]:
  """The arrays of a weight file, by name.

  Args:
    path: an `.npz` or `.safetensors` file.
    sha256: the hash expected; '' as in `check`.
    network: as in `check`.

  Raises:
    OSError: if there is no such file.
    ValueError: if its hash is not the one expected, its format is neither
      of the two, or it holds anything but tensors.
  """
  check(path, sha256, network)
  file = pathlib.Path(path)
  readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
  if file.suffix not in readers:
    raise ValueError(
      f"weights are read from {' or '.join(readers)}; got {path}:"
      f" convert it ({HELP} says how)"
    )
  return readers[file.suffix](file)


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    # NumPy leaves a file open that it cannot read.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
      return {name: archive[name] for name in archive.files}
  except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
    raise ValueError(
      f"{path} is no archive of plain tensors: {_first_line(error)}"
    ) from None


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  from safetensors import SafetensorError
  from safetensors.numpy import load_file

  try:
    return load_file(path)
  except (SafetensorError, KeyError, TypeError) as error:
    raise ValueError(
      f"{path} is no safetensors file of NumPy's types: {_first_line(error)}"
    ) from None


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]


def _way_out(network: str) -> str:
  if network not in PUBLISHED:
    return "pass the path of an .npz or .safetensors file"
  one = PUBLISHED[network]
  return (
    f"pass --config.weights.{network}=PATH of {one.file}, {one.holds}"
    f" (SHA-256 {one.sha256}), or of {one.instead} converted to safetensors,"
    f" with its own hash in --config.weights.{network}_sha256;"
    f" {HELP} says where it is and how to convert it"
  )
