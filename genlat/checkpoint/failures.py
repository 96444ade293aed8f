"""What Orbax raises and prints, turned into one line."""

import errno
import logging
import re
import sys
from collections.abc import Iterable
from typing import Any


class CheckpointError(OSError):
  """A checkpoint could not be written or read; one line, with the way out."""


def _chain(error: BaseException) -> list[BaseException]:
  chain = [error]
  while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
    chain.append(cause)
  return chain


def cause(error: BaseException) -> str:
  """The innermost cause in one short line."""
  chain = _chain(error)
  full = (errno.ENOSPC, errno.EDQUOT)
  if any(
    "No space left" in str(e) or getattr(e, "errno", 0) in full for e in chain
  ):
    return "the disk is full"
  text = str(chain[-1]).partition("\n")[0]
  if "OCDBT" in text:  # TensorStore names every layer it went through
    text = re.split(r" \[\w+(?:\[\d+\])?='", text)[0].rsplit('": ', 1)[-1]
  if not isinstance(chain[-1], OSError | ValueError):
    text = f"{type(chain[-1]).__name__} {text}"
  return text[:200]


def blame(error: BaseException, leaves: Iterable[str]) -> str:
  """The cause, with the leaf whose name Orbax's message holds."""
  text = " ".join(str(e) for e in _chain(error))
  for name in leaves:
    if re.search(rf"""["']{re.escape(name.replace("/", "."))}/""", text):
      return f"leaf {name} cannot be read: {cause(error)}"
  return f"its arrays cannot be read: {cause(error)}"


def quieten_orbax() -> None:
  """Keeps Orbax's log lines and its threads' afterthoughts off the terminal.

  A failed read or write closes an event loop on which other threads still
  call; each of them would print a traceback. What matters reaches the caller
  as a `CheckpointError`.
  """
  for name in ("absl", "asyncio"):
    logging.getLogger(name).addFilter(_not_of_orbax)
  before = sys.unraisablehook
  if getattr(before, "without_orbax", False):
    return

  def hook(unraisable: Any) -> None:
    code = getattr(unraisable.object, "cr_code", None)
    late = str(unraisable.exc_value) == "Event loop is closed"
    if not late and "/orbax/" not in getattr(code, "co_filename", ""):
      before(unraisable)

  hook.without_orbax = True  # pyright: ignore[reportFunctionMemberAccess]
  sys.unraisablehook = hook


def _not_of_orbax(record: logging.LogRecord) -> bool:
  error = str(record.exc_info[1]) if record.exc_info else ""
  return "/orbax/" not in record.pathname and "OCDBT" not in error
