"""Reads the pickled batches of CIFAR-10 without running anything.

A pickle is a program. This is an interpreter of the few instructions of which
the published batches consist. It calls nothing: a global is kept as its name,
and a call as the pair of name and arguments, of which only the three names
that spell a uint8 array mean anything. Whatever else stands in a file is an
error that names it.
"""

import pickletools
from typing import Any, NamedTuple

import numpy as np

from genlat.data.source import DataError

_ARRAY = "numpy.core.multiarray _reconstruct"
_NAMES = (_ARRAY, "numpy ndarray", "numpy dtype")
_CONSTANTS = ("BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING")
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name(NamedTuple):
  """A global, by name only."""

  name: str


class _Call:
  """A call that is not made, and the state that would be set on its result."""

  def __init__(self, function: Any, arguments: Any) -> None:
    self.function = function
    self.arguments = arguments
    self.state: Any = None


class _Mark:
  """The start of a run of values on the stack."""


def read(data: bytes, where: str, fix: str) -> dict[str, Any]:
  """The dictionary in a pickled batch of CIFAR-10.

  Args:
    data: the bytes of the file.
    where: the file, for the error.
    fix: what the user should do about a damaged file.

  Returns:
    Values by name: lists, strings, integers and uint8 arrays.

  Raises:
    DataError: if the file is truncated, or holds anything that the published
      files do not, such as a call of any other function.
  """
  try:
    result = _interpret(data)
  except DataError as error:
    raise DataError(f"{where}: {error}; {fix}") from error
  except Exception as error:  # an ill-formed program may end in any way
    raise DataError(
      f"{where}: truncated or damaged pickle ({error}): got {len(data)} bytes,"
      f" expected a whole batch of CIFAR-10; {fix}"
    ) from error
  if not isinstance(result, dict):
    raise DataError(f"{where}: expected a dictionary in the pickle; {fix}")
  return result


def _interpret(data: bytes) -> Any:
  """Runs the stack machine up to STOP."""
  stack: list[Any] = []
  memo: dict[Any, Any] = {}
  for instruction, argument, _ in pickletools.genops(data):
    name = instruction.name
    if name == "STOP":
      return _value(stack.pop())
    if name in ("BINPUT", "LONG_BINPUT"):
      memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
      stack.append(memo[argument])
    elif name in _CONSTANTS:
      stack.append(argument)
    elif name in _VALUES:
      stack.append(_VALUES[name])
    elif name == "GLOBAL":
      stack.append(_name(str(argument)))
    elif name != "PROTO":
      _combine(name, stack)
  raise ValueError("no STOP")


def _combine(name: str, stack: list[Any]) -> None:
  """One instruction that builds a value from those on the stack."""
  if name == "MARK":
    stack.append(_Mark())
  elif name == "EMPTY_DICT":
    stack.append({})
  elif name == "EMPTY_LIST":
    stack.append([])
  elif name == "TUPLE":
    stack.append(tuple(_run(stack)))
  elif name in _TUPLES:
    items = stack[-_TUPLES[name] :]
    del stack[-_TUPLES[name] :]
    stack.append(tuple(items))
  elif name == "APPENDS":
    items = _run(stack)
    stack[-1].extend(items)
  elif name == "SETITEMS":
    items = _run(stack)
    keys, values = items[::2], items[1::2]
    stack[-1].update(zip(keys, map(_value, values), strict=True))
  elif name == "REDUCE":
    arguments = stack.pop()
    stack.append(_Call(stack.pop(), arguments))
  elif name == "BUILD":
    state = stack.pop()
    if not isinstance(stack[-1], _Call):
      raise DataError("refused: BUILD on something that is not an array")
    stack[-1].state = state
  else:
    raise DataError(
      f"refused: the pickle instruction {name} does not occur in CIFAR-10"
    )


def _name(name: str) -> _Name:
  if name not in _NAMES:
    raise DataError(
      f"refused: the pickle names '{name}', which CIFAR-10 never does; this"
      " file may carry code"
    )
  return _Name(name)


def _run(stack: list[Any]) -> list[Any]:
  """Takes the values above the last mark, and the mark."""
  start = len(stack) - 1
  while not isinstance(stack[start], _Mark):
    start -= 1
    if start < 0:
      raise ValueError("no mark")
  items = stack[start + 1 :]
  del stack[start:]
  return items


def _value(item: Any) -> Any:
  """An array where a call spells one, anything else as it is."""
  if not isinstance(item, _Call):
    return item
  if item.function != _Name(_ARRAY) or not isinstance(item.state, tuple):
    raise DataError("refused: a call that does not spell an array")
  _, shape, kind, fortran, values = item.state
  right = isinstance(kind, _Call) and kind.function == _Name("numpy dtype")
  if not right or kind.arguments[0] != "u1" or fortran:
    raise DataError("refused: an array that is not of unsigned bytes")
  pixels = np.frombuffer(values.encode("latin-1"), np.uint8)
  return pixels.reshape(tuple(int(size) for size in shape))
