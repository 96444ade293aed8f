"""The figures of the IntroVAE paper, from a run of a few steps."""

import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from experiments import introvae_balance, introvae_figures, table
from genlat import grids, train, workdir
from tests import shipped


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
  """A finished game on digits."""
  directory = tmp_path_factory.mktemp("run")
  config = shipped.config(
    "introvae_mnist", "smoke", log__tensorboard=False, steps=4, log__pictures=2
  )
  train.train(config.lock(), directory)
  return directory


def size(columns: int, rows: int) -> tuple[int, int]:
  """Of a grid of digits, gaps included."""
  return 10 * columns - 2, 10 * rows - 2


@pytest.mark.parametrize(
  "figure,wanted",
  [
    ("reconstructions", (2 * 18 - 2, 18)),
    ("samples", size(2, 2)),
    ("progress", size(8, 2)),
    ("interpolations", size(10, 4)),
    ("neighbours", size(4, 4)),
    ("neighbours --inception=random", size(7, 4)),
  ],
)
def test_a_figure_is_drawn(run, tmp_path, monkeypatch, figure, wanted):
  out = tmp_path / "figure.png"
  words = [*figure.split(), f"--workdir={run}", f"--out={out}", "--n=4"]
  monkeypatch.setattr(sys, "argv", ["figures", *words])
  introvae_figures.main()
  with Image.open(out) as picture:
    assert picture.size == wanted
    assert np.ptp(np.asarray(picture)) > 0


def test_the_losses_are_drawn_with_the_three_kls(run, tmp_path, monkeypatch):
  asked, draw = [], grids.curves
  spy = lambda *words: asked.append(words) or draw(*words)
  monkeypatch.setattr(grids, "curves", spy)
  words = ["losses", f"--workdir={run}", f"--out={tmp_path / 'x.png'}"]
  monkeypatch.setattr(sys, "argv", ["figures", *words])
  introvae_figures.main()
  ((log, _, panels, shares),) = asked
  assert log == run / "metrics.jsonl"
  kls = ("kl_real", "kl_rec", "kl_fake", "hinge_active")
  assert panels == [("reconstruction",), kls, ("spread",)]
  assert shares == ("hinge_active",)
  assert (tmp_path / "x.png").exists()


def test_a_run_without_pictures_has_no_progress(tmp_path):
  with pytest.raises(SystemExit, match="has no samples_"):
    introvae_figures.progress(tmp_path, 3)


def test_runs_of_a_grid_of_weights_are_shown_below_each_other(
  run, tmp_path, monkeypatch
):
  """With the training of a pair replaced by a run that there is."""
  asked = []

  def score(row, args):
    asked.append((row.name, row.changes))
    target = args.runs / row.name
    if not target.exists():
      args.runs.mkdir(exist_ok=True)
      target.symlink_to(run)
    return []

  monkeypatch.setattr(table, "score", score)
  out = tmp_path / "balance.png"
  words = f"--runs={tmp_path / 'runs'} --betas=0.5,2 --margins=20,40 --n=3"
  monkeypatch.setattr(sys, "argv", ["balance", *words.split(), f"--out={out}"])
  introvae_balance.main()
  keys = "--config.introvae.beta={}", "--config.introvae.margin={}"
  assert asked == [
    (f"beta_{b}_margin_{m}", (keys[0].format(b), keys[1].format(m)))
    for b in ("0.5", "2")
    for m in ("20", "40")
  ]
  with Image.open(out) as picture:  # images, copies, samples of each run
    assert picture.size == size(3, 3 * 4)
  assert workdir.read(run).config.introvae.beta  # the key that is named
