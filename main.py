"""Trains, evaluates and samples: python main.py --config=… --workdir=….

Only `--mode=train` needs a configuration; the others read the run's own,
and `--config.KEY=VALUE` overrides either.
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

MODES = (
  "train",
  "evaluate",
  "sample",
  "reconstruct",
  "interpolate",
  "film",
  "fit",
  "replay",
)

# What absl, config_flags and a configuration's own code raise.
ERRORS = (
  flags.Error,
  AttributeError,
  LookupError,
  OSError,
  TypeError,
  ValueError,
)

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Configuration file; presets follow a colon.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run lives.")
_MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", "last", "last, best or a step.")
_N = flags.DEFINE_integer("n", 64, "Images to make.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the draw.", lower_bound=0)
_OUT = flags.DEFINE_string(
  "out", "", "Picture (.png; a film .gif, .webp) or arrays (.npz)."
)
_LABELS = flags.DEFINE_string("labels", "", "Of the samples, by comma.")
_TEXT = flags.DEFINE_multi_string("text", [], "A caption; may be repeated.")
_COPIES = flags.DEFINE_bool("copies", False, "Film images of the data.")
_COORDINATOR = flags.DEFINE_string("coordinator", "", "host:port of process 0.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "Of the run; 0 = detect.")
_PROCESS = flags.DEFINE_integer("process", 0, "Index of this process.")


def complete(argv: list[str]) -> list[str]:
  """Puts --config first, or the run's own where a mode needs none given."""
  given = flags.FlagValues()
  for name in ("workdir", "mode", "config"):
    flags.DEFINE_string(name, "", "", flag_values=given)
  given(argv, known_only=True)
  config, mode = given["config"].value, given["mode"].value
  if not config and mode not in ("", "train") and given["workdir"].value:
    own = pathlib.Path(__file__).parent / "configs" / "run.py"
    config = f"{own}:{given['workdir'].value}"
  if not config:
    return argv
  rest = argv[1:]
  for word in ("--config", "-config"):
    if word in rest:
      del rest[rest.index(word) : rest.index(word) + 2]
  rest = [a for a in rest if not a.startswith(("--config=", "-config="))]
  return [argv[0], f"--config={config}", *rest]


def one_line(error: Exception) -> str:
  """The message alone, of an error that may hold a whole traceback."""
  if error.args and isinstance(error.args[0], KeyError):
    error = error.args[0]  # config_flags wraps one in an AttributeError
  text = str(error)
  if "Traceback (most recent call last)" in text:
    text = text.strip().splitlines()[-1].partition(": ")[2]
  elif isinstance(error, KeyError):
    # Of a --config.KEY: the key, and below it what may have been meant.
    text = f"the configuration has no key {'. '.join(lines_of(error))}"
  elif isinstance(error, TypeError):
    text = f"a --config.KEY=VALUE does not fit the configuration: {text}"
  return " ".join(text.split())


def lines_of(error: KeyError) -> list[str]:
  """Lines of the message; str() of a KeyError is its repr."""
  lines = str(error.args[0]).splitlines() if error.args else []
  where = "configs/base.py and blocks.py have them all"
  return lines if len(lines) > 1 else [*lines, where]


def main(argv: list[str]) -> int:
  """Runs the mode; returns the exit status."""
  try:
    # config_flags finds overrides in sys.argv, whatever is parsed.
    sys.argv = complete(argv)
    rest = flags.FLAGS(sys.argv)[1:]
    if rest:
      raise ValueError(f"unknown argument {rest[0]!r}; flags begin with --")
    for name in ("workdir", "config"):
      if not flags.FLAGS[name].value:
        raise ValueError(f"--{name} is missing; see --helpfull")
    config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value or "")
    config.to_json()  # a file that failed to load says so only when it is read
  except ERRORS as e:
    print(f"genlat: error: {one_line(e)}", file=sys.stderr)
    return 2
  from genlat import command

  return command.run(
    _MODE.value,
    config,
    workdir,
    command.Options(
      _CHECKPOINT.value,
      _N.value,
      _SEED.value,
      _OUT.value,
      _LABELS.value,
      tuple(_TEXT.value),
      _COPIES.value,
    ),
    command.Peers(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value),
  )


if __name__ == "__main__":
  sys.exit(main(sys.argv))
