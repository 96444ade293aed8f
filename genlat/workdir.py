"""What a work directory holds besides checkpoints: the run's description.

`run.json` has the resolved configuration, the data set's identity and the
versions of the libraries. Nothing else is needed to load the run.
"""

import dataclasses
import json
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from ml_collections import ConfigDict

from genlat import files

# A run may go on under other values of these; all else must stay.
CHANGEABLE = (
  "checkpoint",
  "data.feeder",
  "data.path",
  "data.prefetch",
  "data.resident_limit",
  "data.threads",
  "epoch_steps",  # follows from the data and the batch
  "epochs",
  "evaluation",
  "log",
  "mesh",
  "prior",
  "steps",
  "steps_per_call",  # more than 1 only as a rolled loop: the same bits
  "text.encoder",  # a copy lies in the work directory
  "text.vectors",  # the data's fingerprint knows its content
  "weights",
)
# Keys that came later, and what a run without them did: never changed again.
GAINED = {
  "aae.code_captions": True,
  "aae.coverage": 0.0,
  "aae.coverage_draws": 16,
  "aae.encoder_reconstruction": 1.0,
  "aae.image_normalisation": "",
  "aae.likest_captions": True,
  "aae.read_noise": 0,
  "aae.real_labels": 0.0,
  "aae.real_penalty": 0.0,
  "aae.wrong_captions": 1,
  "data.random_crop": 0,
}
LIBRARIES = ("flax", "genlat", "jax", "jaxlib", "numpy", "optax")


class RunError(ValueError):
  """A work directory that cannot serve the command given."""


@dataclasses.dataclass(frozen=True)
class Description:
  """The identity of a run.

  Attributes:
    config: the resolved configuration.
    image_shape: H, W, C.
    data: `name`, `count` and `fingerprint` of the train split.
    versions: of the libraries that wrote it.
  """

  config: ConfigDict
  image_shape: tuple[int, int, int]
  data: dict[str, Any]
  versions: dict[str, str]

  def as_json(self) -> dict[str, Any]:
    """A dictionary that JSON can hold."""
    return {
      "config": json.loads(self.config.to_json()),
      "image_shape": list(self.image_shape),
      "data": self.data,
      "versions": self.versions,
    }


def versions() -> dict[str, str]:
  """Versions of Python and of the libraries that decide a run's numbers."""
  found = {"python": platform.python_version()}
  for name in LIBRARIES:
    try:
      found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      found[name] = "not installed"
  return found


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON so that readers see the old file or the new one."""
  with files.whole(path) as draft:
    draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def write(workdir: pathlib.Path, description: Description) -> None:
  """Writes `run.json`."""
  write_json(workdir / "run.json", description.as_json())


def read(workdir: str | os.PathLike[str]) -> Description:
  """Reads `run.json`.

  Raises:
    RunError: where there is no run, or its description is damaged.
  """
  path = pathlib.Path(workdir) / "run.json"
  if not path.exists():
    raise RunError(
      f"no run in {os.fspath(workdir)}: {path.name} is missing; train one"
      " there first, or give another --workdir"
    )
  try:
    return described(json.loads(path.read_text()))
  except (json.JSONDecodeError, KeyError, TypeError) as error:
    raise RunError(
      f"{path} is damaged: {error!r}; delete it and train again: the"
      " checkpoints know the configuration"
    ) from error


def described(raw: dict[str, Any]) -> Description:
  """The description that `as_json` made this of.

  Keys that came after the run have the values of what it did.
  """
  config = {**raw["config"]}
  for key, value in GAINED.items():
    block, name = key.split(".")
    if block in config:
      config[block] = {name: value, **config[block]}
  return Description(
    config=config_from_json(config),
    image_shape=tuple(raw["image_shape"]),
    data=raw["data"],
    versions=raw["versions"],
  )


def config_from_json(value: dict[str, Any]) -> ConfigDict:
  """A locked ConfigDict; JSON's lists are tuples again."""

  def tuples(node: Any) -> Any:
    if isinstance(node, dict):
      return {k: tuples(v) for k, v in node.items()}
    return tuple(tuples(v) for v in node) if isinstance(node, list) else node

  return ConfigDict(tuples(value)).lock()


def differences(
  old: ConfigDict, new: ConfigDict, free: Sequence[str] = ()
) -> list[str]:
  """Keys that differ and may not, each as 'key: old -> new'.

  Args:
    old: a run's configuration.
    new: the one asked for.
    free: keys and blocks that may differ beside those of CHANGEABLE.
  """
  before, after = _flat(old), _flat(new)
  found = []
  # A key that an older run does not know, nor GAINED, had no other value; but a
  # player's is there only where it is set.
  gained = {key for key in after if key.startswith("players.")}
  changeable = (*CHANGEABLE, *free)
  for key in sorted(before.keys() | gained):
    may = any(key == c or key.startswith(c + ".") for c in changeable)
    was, now = _value(before, key), _value(after, key)
    if not may and was != now:
      found.append(f"{key}: {was!r} -> {now!r}")
  return found


def _value(flat: Mapping[str, Any], key: str) -> Any:
  """A key's value; a player's that is not set is the optimiser's."""
  if key in flat or not key.startswith("players."):
    return flat.get(key)
  name = key.rpartition(".")[2]
  return 1.0 if name == "lr_scale" else flat.get(f"optimizer.{name}")


def check_same(
  directory: pathlib.Path,
  old: ConfigDict,
  new: ConfigDict,
  free: Sequence[str] = (),
) -> None:
  """Raises RunError where `new` is not the configuration of the run.

  Args:
    directory: named in the message.
    old: the run's configuration.
    new: the one asked for.
    free: as in `differences`.
  """
  changed = differences(old, new, free)
  if changed:
    raise RunError(
      f"{directory} holds a run of another configuration"
      f" ({'; '.join(changed)}); give the same values, or another --workdir"
    )


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
  tree = json.loads(config.to_json()) if prefix == "" else config
  flat: dict[str, Any] = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      flat |= _flat(value, f"{prefix}{key}.")
    else:
      flat[prefix + key] = value
  return flat
