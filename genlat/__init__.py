"""Latent-variable image models in JAX."""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
  """Imports `load` when it is first asked for: JAX takes a while."""
  if name == "load":
    from genlat.loading import load

    return load
  raise AttributeError(f"module 'genlat' has no attribute {name!r}")
