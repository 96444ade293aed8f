"""Small files in the layouts that data sets were published in, for tests."""

import gzip
import io
import pathlib
import struct
import tarfile
import zipfile
from typing import Any

import numpy as np
from PIL import Image
from scipy import io as matlab

from genlat.data.source import Settings


def settings(name: str, path: object = "", **changes: Any) -> Settings:
  """Settings as `config.data` has them by default."""
  given: dict[str, Any] = {
    "name": name,
    "path": str(path),
    "image_size": 0,
    "crop": 0,
    "count": 0,
    "validation": 0.0,
    "on_error": "raise",
  }
  return Settings(**{**given, **changes})


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
  """Random uint8."""
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def idx(values: np.ndarray) -> bytes:
  """An idx file of unsigned bytes."""
  head = bytes([0, 0, 8, values.ndim]) + struct.pack(
    f">{values.ndim}I", *values.shape
  )
  return head + values.tobytes()


def write_idx(
  folder: pathlib.Path, images: np.ndarray, labels: np.ndarray
) -> pathlib.Path:
  """The four files of MNIST, packed, train and test alike."""
  folder.mkdir(parents=True, exist_ok=True)
  for stem in ("train", "t10k"):
    for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
      path = folder / f"{stem}-{kind}-ubyte.gz"
      path.write_bytes(gzip.compress(idx(values)))
  return folder


def pickled_batch(planes: np.ndarray, labels: list[int]) -> bytes:
  """A batch of CIFAR-10's Python version, as cPickle 2 wrote it."""

  def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()

  rows, width = planes.shape
  size = b"(M" + struct.pack("<H", rows) + b"M" + struct.pack("<H", width)
  return b"".join(
    [
      b"\x80\x02}(",
      text("batch_label") + text("training batch 1 of 1"),
      text("labels") + b"](" + bytes(b for v in labels for b in (75, v)) + b"e",
      text("data"),
      b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n",
      b"K\x00\x85" + text("b") + b"\x87R(K\x01" + size + b"t",
      b"cnumpy\ndtype\n" + text("u1") + b"K\x00K\x01\x87R",
      b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
      b"\x89T" + struct.pack("<I", planes.size) + planes.tobytes() + b"tb",
      text("filenames") + b"]u.",
    ]
  )


def cifar10_batches(rows: int, python: bool) -> dict[str, bytes]:
  """The six batch files by name, `rows` images each."""
  files = {}
  names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
  for seed, name in enumerate(names):
    planes = pixels(rows, 3072, seed=seed)
    labels = [(seed + i) % 10 for i in range(rows)]
    if python:
      files[name] = pickled_batch(planes, labels)
    else:
      column = np.array(labels, np.uint8)[:, None]
      files[f"{name}.bin"] = np.concatenate([column, planes], 1).tobytes()
  return files


def write_files(folder: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
  """Files by relative name below a folder."""
  for name, data in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return folder


def write_zip(path: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
  """Files by relative name in a .zip."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with zipfile.ZipFile(path, "w") as archive:
    for name, data in files.items():
      archive.writestr(name, data)
  return path


def write_tar(path: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
  """Files by relative name in a .tar.gz."""
  with tarfile.open(path, "w:gz") as archive:
    for name, data in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(data)
      archive.addfile(info, io.BytesIO(data))
  return path


def write_svhn(
  folder: pathlib.Path, images: np.ndarray, labels: np.ndarray
) -> pathlib.Path:
  """train_32x32.mat and test_32x32.mat; labels 1 to 10 as published."""
  folder.mkdir(parents=True, exist_ok=True)
  for split in ("train", "test"):
    matlab.savemat(
      folder / f"{split}_32x32.mat",
      {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]},
      do_compression=True,
    )
  return folder


def encoded(image: np.ndarray, kind: str = "PNG", mode: str = "") -> bytes:
  """An image file; grey, RGB or RGBA by the rank and channels."""
  buffer = io.BytesIO()
  opened = Image.fromarray(image)
  (opened.convert(mode) if mode else opened).save(buffer, kind)
  return buffer.getvalue()


def images_by_name(*names: str, side: int = 12) -> dict[str, bytes]:
  """Random RGB files; those that end in .jpg are JPEG."""
  return {
    name: encoded(
      pixels(side, side, 3, seed=i), "JPEG" if name.endswith("jpg") else "PNG"
    )
    for i, name in enumerate(names)
  }


def malicious_batch(marker: pathlib.Path) -> bytes:
  """A pickle that makes the file `marker` when it is really unpickled."""
  command = f"touch {marker}".encode()
  call = b"cposix\nsystem\nU" + bytes([len(command)]) + command + b"\x85R"
  return b"\x80\x02}(U\x04data" + call + b"u."


def digit_struct(numbers: dict[str, list[tuple[float, ...]]]) -> bytes:
  """digitStruct.mat as MATLAB 7.3 writes it, behind its 512 bytes of header.

  Args:
    numbers: by name of the image, of each digit (left, top, width, height,
      label), 0 labelled 10.
  """
  import h5py

  buffer = io.BytesIO()
  with h5py.File(buffer, "w", userblock_size=512) as file:
    refs = file.create_group("#refs#")
    top = file.create_group("digitStruct")
    kind = h5py.ref_dtype
    shape = (len(numbers), 1)
    names = top.create_dataset("name", shape, kind)
    boxes = top.create_dataset("bbox", shape, kind)
    for i, (name, digits) in enumerate(numbers.items()):
      codes = np.array([[ord(letter)] for letter in name], np.uint16)
      names[i, 0] = refs.create_dataset(f"n{i}", data=codes).ref
      group = refs.create_group(f"b{i}")
      boxes[i, 0] = group.ref
      for j, key in enumerate(("left", "top", "width", "height", "label")):
        values = [np.full((1, 1), digit[j], np.float64) for digit in digits]
        if len(values) == 1:
          group.create_dataset(key, data=values[0])
          continue
        column = group.create_dataset(key, (len(values), 1), kind)
        for k, value in enumerate(values):
          column[k, 0] = refs.create_dataset(f"v{i}{key}{k}", data=value).ref
  content = bytearray(buffer.getvalue())
  header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64"
  content[: len(header)] = header
  return bytes(content)
