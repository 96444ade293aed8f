"""The protocol card that every score is stored with.

A Fréchet distance without its network, resize, counts and reference says
nothing: before two scores are compared, `warn_if_unlike` warns where their
protocols differ.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import subprocess
import warnings
from typing import Any

import jax

from genlat import files

# What was scored, where and by which code: recorded, and free to differ.
PROVENANCE = ("seed", "model", "commit", "hardware", "jax_version")


def code_version() -> str:
  """`git describe` of the checkout, else the version of the package."""
  root = pathlib.Path(__file__).parents[2]
  command = ["git", "describe", "--always", "--dirty", "--tags"]
  # Installed into another project's folder, git would describe that one.
  if (root / ".git").exists():
    try:
      done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True
      )
      return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
      pass
  try:
    return "genlat " + importlib.metadata.version("genlat")
  except importlib.metadata.PackageNotFoundError:
    return "unknown"


def hardware_name() -> str:
  """Number and kind of JAX's devices, such as '4 x NVIDIA H200 (gpu)'."""
  devices = jax.devices()
  return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"


class MeasuredUnlike(UserWarning):
  """Two scores were measured by unlike protocols."""


@dataclasses.dataclass(frozen=True)
class Card:
  """How a score was obtained; '' and 0 where a field has no meaning.

  Attributes:
    network: feature network and its number of features.
    sha256: of the network's weights.
    resize: how images reach its size.
    quantisation: how images become integers before they are measured.
    reference: data set compared with, and its fingerprint.
    split: of the reference.
    reference_count: examples of the reference.
    sample_count: examples that were scored.
    ema: whether averaged weights were used.
    normalisation: which statistics normalisation layers used: 'average' or
      'batch'.
    sampler: how codes were drawn, or how images were reconstructed.
    seed: of the sampler.
    model: name of the method, number of its trained weights, and name of a
      prior fitted to its codes.
    commit: of the code.
    hardware: kind and number of devices.
    jax_version: of the library.
  """

  network: str
  sha256: str
  resize: str
  quantisation: str
  reference: str
  split: str
  reference_count: int
  sample_count: int
  ema: bool
  normalisation: str
  sampler: str
  seed: int
  model: str = ""
  commit: str = dataclasses.field(default_factory=code_version)
  hardware: str = dataclasses.field(default_factory=hardware_name)
  jax_version: str = jax.__version__


def comparable(one: Card, other: Card) -> list[str]:
  """Names of the protocol's fields that differ; empty = comparable."""
  return [
    field.name
    for field in dataclasses.fields(Card)
    if field.name not in PROVENANCE
    and getattr(one, field.name) != getattr(other, field.name)
  ]


def warn_if_unlike(one: Card, other: Card, name: str = "score") -> bool:
  """Warns where two scores should not be compared, and returns True there.

  The warning is MeasuredUnlike.
  """
  unlike = comparable(one, other)
  if unlike:
    differences = "; ".join(
      f"{field} {getattr(one, field)!r} against {getattr(other, field)!r}"
      for field in unlike
    )
    warnings.warn(
      f"two values of {name} were measured unlike: {differences}",
      MeasuredUnlike,
      stacklevel=2,
    )
  return bool(unlike)


def write_score(
  path: str | os.PathLike[str],
  name: str,
  value: float | dict[str, Any],
  card: Card,
) -> None:
  """Stores a score with its card as JSON, atomically.

  Args:
    path: the file; its folder is made.
    name: of the metric.
    value: the score, or several of one protocol.
    card: how it was obtained.
  """
  path = pathlib.Path(path)
  record = {"name": name, "value": value, "card": dataclasses.asdict(card)}
  with files.whole(path) as draft:
    draft.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read_score(
  path: str | os.PathLike[str],
) -> tuple[str, float | dict[str, Any], Card]:
  """Name, value and card of a stored score.

  Raises:
    ValueError: if the file holds none.
  """
  try:
    record = json.loads(pathlib.Path(path).read_text())
    return record["name"], record["value"], Card(**record["card"])
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f"{path} holds no score with its card: {error}") from None
