"""The published files of MNIST, Fashion-MNIST, CIFAR-10 and SVHN.

Sizes and SHA-256 are those of TensorFlow Datasets' registry of checksums;
those of the two MNISTs also equal the files this code was tested on.
"""

import pathlib
from typing import NamedTuple

from genlat.data.source import DataError


class Original(NamedTuple):
  """One published file.

  Attributes:
    file: its name.
    size: bytes.
    sha256: hex digest.
  """

  file: str
  size: int
  sha256: str


class Published(NamedTuple):
  """Where a data set was published, and its files."""

  url: str
  files: tuple[Original, ...]


ORIGINALS: dict[str, Published] = {
  "mnist": Published(
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    (
      Original(
        "train-images-idx3-ubyte.gz",
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
      ),
      Original(
        "train-labels-idx1-ubyte.gz",
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
      ),
      Original(
        "t10k-images-idx3-ubyte.gz",
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
      ),
      Original(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
      ),
    ),
  ),
  "fashion_mnist": Published(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    (
      Original(
        "train-images-idx3-ubyte.gz",
        26421880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
      ),
      Original(
        "train-labels-idx1-ubyte.gz",
        29515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
      ),
      Original(
        "t10k-images-idx3-ubyte.gz",
        4422102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
      ),
      Original(
        "t10k-labels-idx1-ubyte.gz",
        5148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
      ),
    ),
  ),
  "binarized_mnist": Published(
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist",
    (
      Original(
        "binarized_mnist_train.amat",
        78400000,
        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
      ),
      Original(
        "binarized_mnist_valid.amat",
        15680000,
        "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
      ),
      Original(
        "binarized_mnist_test.amat",
        15680000,
        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
      ),
    ),
  ),
  "cifar10": Published(
    "https://www.cs.toronto.edu/~kriz",
    (
      Original(
        "cifar-10-binary.tar.gz",
        170052171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
      ),
    ),
  ),
  "svhn": Published(
    "http://ufldl.stanford.edu/housenumbers",
    (
      Original(
        "train_32x32.mat",
        182040794,
        "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
      ),
      Original(
        "test_32x32.mat",
        64275384,
        "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
      ),
    ),
  ),
}


def fetch_hint(name: str) -> str:
  """The command that fetches the original files again."""
  return f"fetch it again: python -m genlat.data.prepare {name} --out=DIR"


def size_hint(name: str, file: str) -> str:
  """'; the published file has N bytes', or '' for an unknown file."""
  for original in ORIGINALS[name].files:
    if original.file == file:
      return f"; the published file has {original.size}"
  return ""


def data_folder(name: str, path: str) -> pathlib.Path:
  """`config.data.path` of an original data set, checked to exist.

  Raises:
    DataError: if no path is given or nothing is there.
  """
  if not path:
    raise DataError(
      f"{name} needs its files: set config.data.path to their folder, or fetch"
      f" them first: python -m genlat.data.prepare {name} --out=DIR"
    )
  folder = pathlib.Path(path).expanduser()
  if not folder.exists():
    raise DataError(
      f"{folder}: no such file or folder (config.data.path of {name}); fetch"
      f" the files first: python -m genlat.data.prepare {name} --out=DIR"
    )
  return folder


def locate(
  name: str, folder: pathlib.Path, files: tuple[str, ...]
) -> pathlib.Path:
  """The first of `files` that lies in `folder`.

  Raises:
    DataError: if none does.
  """
  for file in files:
    if (folder / file).is_file():
      return folder / file
  raise DataError(
    f"{folder}: {name} needs {' or '.join(files)} there; found"
    f" {_listing(folder)}. Correct config.data.path, or {fetch_hint(name)}"
  )


def _listing(folder: pathlib.Path) -> str:
  if not folder.is_dir():
    return "no folder"
  names = sorted(entry.name for entry in folder.iterdir())
  more = f" and {len(names) - 5} more" if len(names) > 5 else ""
  return (", ".join(names[:5]) + more) or "nothing"
