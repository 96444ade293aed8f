"""Fetches published files: resumable, checked, never half there.

A file arrives under NAME.part, which a later call continues, and gets its own
name only after its SHA-256 was right.
"""

import http.client
import pathlib
import urllib.request
from typing import IO

import tqdm

from genlat.data.originals import Original
from genlat.data.source import DataError, file_sha256

_BLOCK = 2**20  # bytes
_SILENCE = 60.0  # seconds without a byte until an attempt ends


def fetch(base: str, original: Original, folder: pathlib.Path) -> pathlib.Path:
  """Puts one published file into a folder, unless it is there already.

  Args:
    base: address of the folder that holds it.
    original: name, size and hash.
    folder: where to put it.

  Returns:
    Its path.

  Raises:
    DataError: if the connection fails or breaks off (what came is kept for
      the next call), or the hash is wrong (what came is removed).
  """
  path = folder / original.file
  if path.exists():
    _check(path, original, "remove it and run the command again")
    return path
  folder.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + ".part")
  url = f"{base.rstrip('/')}/{original.file}"
  try:
    _continue(url, part, original)
  except (OSError, http.client.HTTPException) as error:
    reason = str(error) or type(error).__name__
    raise DataError(
      f"{url}: {reason}; have {_size(part)} of {original.size} bytes. Run the"
      " command again to go on, or give another address with --mirror"
    ) from error
  try:
    _check(part, original, "the copy was removed; try another --mirror")
  except DataError:
    part.unlink()
    raise
  part.replace(path)
  return path


def _size(path: pathlib.Path) -> int:
  return path.stat().st_size if path.exists() else 0


def _continue(url: str, part: pathlib.Path, original: Original) -> None:
  """Fetches what is missing of a file; OSError if it breaks off."""
  have = _size(part)
  if have >= original.size:  # whole, or too much of something else
    return
  if not url.startswith(("http://", "https://")):
    raise OSError("not an http(s) address")
  request = urllib.request.Request(url)
  if have:
    request.add_header("Range", f"bytes={have}-")
  with urllib.request.urlopen(request, timeout=_SILENCE) as response:
    goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
    mode, start = ("ab", have) if goes_on else ("wb", 0)
    with open(part, mode) as file:
      _copy(response, file, start, original)
  if _size(part) < original.size:
    raise OSError("the connection broke off")


def _copy(
  response: http.client.HTTPResponse,
  file: IO[bytes],
  start: int,
  original: Original,
) -> None:
  """Copies a response to a file, with a progress bar on a terminal."""
  with tqdm.tqdm(
    total=original.size,
    initial=start,
    unit="B",
    unit_scale=True,
    desc=original.file,
    disable=None,
  ) as bar:
    while block := response.read(_BLOCK):
      file.write(block)
      bar.update(len(block))


def _check(path: pathlib.Path, original: Original, fix: str) -> None:
  """Raises DataError unless size and SHA-256 are the published ones."""
  found = file_sha256(path)
  if found != original.sha256:
    raise DataError(
      f"{path}: wrong content: expected {original.size} bytes with SHA-256"
      f" {original.sha256}, got {_size(path)} bytes with {found}; {fix}"
    )
