"""Trains and scores the rows of a paper's table, one run each."""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from genlat.metrics.card import Card, read_score, warn_if_unlike


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    name: of the run's folder, and of the row on the command line.
    config: file in configs/, with its presets.
    dataset: folder of its images in `--data`, or a zip there.
    paper: what the paper has, and how sure that is; '' for nothing.
    protocol: flags of the evaluation that the paper's numbers need.
    changes: flags of the training, beside the configuration.
  """

  name: str
  config: str
  dataset: str
  paper: str
  protocol: tuple[str, ...] = ()
  changes: tuple[str, ...] = ()


def arguments(description: str | None, rows: Sequence[Row]):
  """The flags that every table takes."""
  parser = argparse.ArgumentParser(
    description=description,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  common(parser)
  names = ",".join(row.name for row in rows)
  parser.add_argument("--rows", default=names, help=f"of {names}")
  return parser


def common(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of all that trains and scores."""
  parser.add_argument("--runs", type=pathlib.Path, required=True)
  parser.add_argument("--inception", default="", help="weight file, for FID")
  parser.add_argument("--vgg", default="", help="weight file, where a row asks")
  for name in ("inception", "vgg"):
    parser.add_argument(
      f"--{name}-sha256",
      default="",
      help="hash of a weight file of one's own",
    )
  parser.add_argument("--data", type=pathlib.Path, help="folder of data sets")
  parser.add_argument(
    "--epochs",
    type=float,
    default=0.0,
    help="instead of each configuration's own; not fewer than a run in --runs"
    " has done",
  )
  parser.add_argument(
    "--presets",
    default="",
    help="words after the colon of each configuration, beside its own",
  )
  parser.add_argument("--metrics", default="frechet,reconstruction")


def make(rows: Sequence[Row], args: argparse.Namespace) -> None:
  """Trains what is not finished, scores, and prints a line a row.

  Args:
    rows: of the table.
    args: parsed `arguments`.

  Raises:
    CalledProcessError: where a run or its evaluation fails.
    SystemExit: for a row that the table does not have.
  """
  known = [row.name for row in rows]
  chosen = args.rows.split(",")
  for name in chosen:
    if name not in known:
      raise SystemExit(f"no row {name!r}; known: {', '.join(known)}")
  cards: list[Card] = []
  for row in rows:
    if row.name not in chosen:
      continue
    card = tell(row, args)
    if card:
      for other in cards:
        if other.reference == card.reference:
          warn_if_unlike(other, card, row.name)
          break
      cards.append(card)


def tell(row: Row, args: argparse.Namespace) -> Card | None:
  """Trains and scores a row and prints it; the card of its distance."""
  lines, model, where, distance = [], "", "", None
  for path in score(row, args):
    metric, values, card = read_score(path)
    assert isinstance(values, dict)
    model, where = card.model, f"  scored at {card.commit}, {card.hardware}"
    if metric == "frechet":
      distance = card
    lines += [
      f"{key} {value:.4g}"
      for key, value in values.items()
      if isinstance(value, int | float)
    ]
  flags = " ".join([*_changes(row, args), *row.protocol])
  print(
    f"{row.name:28s} {'  '.join(lines)}   ({model})"
    f"   paper: {row.paper or '-'}\n  {flags}{where}"
  )
  return distance


def score(row: Row, args: argparse.Namespace) -> list[pathlib.Path]:
  """Trains and evaluates a row; returns the files of its scores."""
  workdir = args.runs / row.name
  train = _changes(row, args)
  if args.data:
    train.append(f"--config.data.path={args.data / row.dataset}")
  if args.vgg:
    train += weights("vgg", args.vgg, args.vgg_sha256)
  _main("train", workdir, *train)
  _main(
    "evaluate",
    workdir,
    *weights("inception", args.inception, args.inception_sha256),
    f"--config.evaluation.metrics={args.metrics}",
    *row.protocol,
  )
  newest = max(workdir.glob("scores/*"), key=lambda path: int(path.name))
  files = [newest / f"{name}.json" for name in args.metrics.split(",")]
  return [path for path in files if path.exists()]  # others were skipped


def weights(name: str, path: str, sha256: str) -> list[str]:
  """Flags that name a weight file."""
  flags = [f"--config.weights.{name}={path}"]
  return flags + [f"--config.weights.{name}_sha256={sha256}"] * bool(sha256)


def _changes(row: Row, args: argparse.Namespace) -> list[str]:
  """What a row trains: its configuration, and what is set otherwise."""
  epochs = [f"--config.epochs={args.epochs}"] if args.epochs else []
  file, _, words = row.config.partition(":")
  words = ",".join(word for word in (words, args.presets) if word)
  config = f"{file}:{words}" if words else file
  return [f"--config=configs/{config}", *row.changes, *epochs]


def _main(mode: str, workdir: pathlib.Path, *flags: str) -> None:
  flags = (f"--mode={mode}", f"--workdir={workdir}", *flags)
  subprocess.run([sys.executable, "main.py", *flags], check=True)
