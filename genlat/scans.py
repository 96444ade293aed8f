"""The one place that decides whether a `lax.scan` is rolled or unrolled.

XLA on CPU runs a convolution inside a rolled loop about fifteen times slower
than outside of it (jax-ml/jax#12868), so bodies that hold a convolution are
unrolled there. On GPU and TPU every scan is rolled. The choice follows the
platform of the mesh that the program runs on, told once by `use_platform`,
never the default backend of the process: a step may be compiled ahead of time
for another machine.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

Carry = TypeVar("Carry")

_PLATFORM = ""


def use_platform(platform: str) -> None:
  """Tells the platform ('cpu', 'gpu', 'tpu') that scans are compiled for."""
  global _PLATFORM
  _PLATFORM = platform


def rolled(convolutional: bool) -> bool:
  """Whether a scan is rolled on the platform told.

  Before `use_platform` was called a convolutional body is unrolled: the same
  values everywhere, at the price of a longer compilation.

  Args:
    convolutional: whether the body of the loop holds a convolution.
  """
  return not convolutional or _PLATFORM not in ("", "cpu")


def cond(
  flag: Any,
  when_true: Callable[..., Any],
  when_false: Callable[..., Any],
  *operands: Any,
  convolutional: bool,
) -> Any:
  """`lax.cond`; both branches and a choice where the platform asks.

  A convolution's gradient in a conditional of XLA on CPU took 35 times as
  long as outside of one (512 against 15 ms).

  Args:
    flag: scalar, may be traced.
    when_true: of the operands.
    when_false: likewise, with results of the same shapes.
    *operands: of both.
    convolutional: whether a branch holds a convolution.
  """
  if rolled(convolutional):
    return lax.cond(flag, when_true, when_false, *operands)
  one, other = when_true(*operands), when_false(*operands)
  return jax.tree.map(lambda a, b: jnp.where(flag, a, b), one, other)


def scan(
  body: Callable[[Carry, Any], tuple[Carry, Any]],
  carry: Carry,
  xs: Any,
  length: int | None = None,
  *,
  convolutional: bool,
) -> tuple[Carry, Any]:
  """`lax.scan`, rolled or unrolled as the platform asks."""
  unroll = 1 if rolled(convolutional) else True
  return lax.scan(body, carry, xs, length=length, unroll=unroll)
