"""GLF's table of Fréchet distances (arXiv:1905.10485, table 1).

  python -m experiments.glf_table --runs=RUNS --inception=FILE [--epochs=N]

Trains each configuration below where its run is not finished yet, evaluates
it with 10,000 samples against the 10,000 test images, and prints our numbers
beside the paper's. The paper's are recalled from memory and not confirmed
(docs/results.md); rows of unlike protocol are not compared silently.
"""

import argparse
import pathlib
import subprocess
import sys

from genlat.metrics.card import read_score, warn_if_unlike

# Configuration, the paper's name of it, the paper's FID.
ROWS = (
  ("glf_mnist", "GLF", 8.2),
  ("vae_mnist", "VAE", 28.2),
  ("vae_flow_prior_mnist", "VAE + flow prior", 28.3),
  ("vae_flow_posterior_mnist", "VAE + flow posterior", 26.7),
  ("glf_fashion_mnist", "GLF", 21.3),
  ("vae_fashion_mnist", "VAE", 57.5),
  ("glf_cifar10", "GLF", 88.3),
  ("vae_cifar10", "VAE", 142.5),
)


def command(mode: str, workdir: pathlib.Path, *flags: str) -> None:
  """Runs main.py; raises where it fails."""
  subprocess.run(
    [
      sys.executable,
      "main.py",
      f"--mode={mode}",
      f"--workdir={workdir}",
      *flags,
    ],
    check=True,
  )


def score(name: str, args: argparse.Namespace) -> pathlib.Path:
  """Trains and evaluates a row; returns the file of its score."""
  workdir = args.runs / name
  known = ("fashion_mnist", "mnist", "cifar10")
  dataset = next(d for d in known if name.endswith(d))
  train = [f"--config=configs/{name}.py"]
  if args.data:
    train.append(f"--config.data.path={args.data / dataset}")
  if args.epochs:
    train.append(f"--config.epochs={args.epochs}")
  command("train", workdir, *train)
  command(
    "evaluate",
    workdir,
    f"--config.weights.inception={args.inception}",
    "--config.evaluation.metrics=frechet,reconstruction",
  )
  scores = sorted(
    workdir.glob("scores/*/frechet.json"), key=lambda p: int(p.parent.name)
  )
  return scores[-1]


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--runs", type=pathlib.Path, required=True)
  parser.add_argument("--inception", required=True, help="weight file")
  parser.add_argument("--data", type=pathlib.Path, help="folder of data sets")
  parser.add_argument("--epochs", type=float, default=0.0)
  parser.add_argument("--rows", default=",".join(row[0] for row in ROWS))
  args = parser.parse_args()
  first = None
  for name, paper_name, paper in ROWS:
    if name not in args.rows.split(","):
      continue
    _, value, card = read_score(score(name, args))
    assert isinstance(value, dict)
    if first is not None and first.reference == card.reference:
      warn_if_unlike(first, card, name)
    first = card
    print(
      f"{name:28s} {paper_name:22s} FID {value['frechet']:7.2f}"
      f"   paper {paper:6.1f} (recalled)"
    )


if __name__ == "__main__":
  main()
