"""What a prior over codes is: a law with parameters that are fitted."""

import dataclasses
from typing import Any, Protocol

import jax
import numpy as np

PyTree = Any


class Law(Protocol):
  """A family of densities over codes `[B, d]`.

  An implementation is a frozen dataclass of numbers and strings, so that
  its fields can be stored as JSON; what is fitted is a pytree of arrays.
  """

  def fit(self, codes: np.ndarray, seed: int) -> PyTree:
    """Parameters that suit codes `[N, d]`."""
    ...

  def sample(self, params: PyTree, rng: jax.Array, n: int) -> jax.Array:
    """Draws `[n, d]`; pure."""
    ...

  def log_prob(self, params: PyTree, codes: jax.Array) -> jax.Array:
    """Log-density of codes `[B, d]`, `[B]` nats; pure."""
    ...


@dataclasses.dataclass(frozen=True)
class Fitted:
  """A law and its parameters.

  Attributes:
    name: key in PRIORS.
    law: the family.
    params: the member.
  """

  name: str
  law: Law
  params: PyTree


def check_codes(codes: np.ndarray, least: int) -> np.ndarray:
  """Codes as float64 `[N, d]`.

  Raises:
    ValueError: unless they are finite, of rank 2 and at least `least`.
  """
  codes = np.asarray(codes, np.float64)
  if codes.ndim != 2 or len(codes) < least:
    raise ValueError(
      f"a prior is fitted to codes [N, d] with N of at least {least};"
      f" got {list(codes.shape)}"
    )
  if not np.isfinite(codes).all():
    raise ValueError("a prior is fitted to finite codes; got nan or inf")
  return codes
