"""Files that are there as a whole or not at all."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """A draft beside `path` that takes its place when the block ends well.

  Readers see the old file or the new one; two writers do not meet, and the
  later one wins. The folder is made.

  Args:
    path: the file to write.

  Yields:
    Where to write; gone if the block raises.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
  try:
    yield draft
    os.replace(draft, path)
  finally:
    draft.unlink(missing_ok=True)
