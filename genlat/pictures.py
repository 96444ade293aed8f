"""The pictures a run draws of itself: samples, reconstructions, paths."""

import contextlib
import pathlib

import numpy as np

from genlat import films, grids
from genlat.logbook import Logbook
from genlat.run import Run
from genlat.state import State
from genlat.trained import Trained

SIDE = 8  # images along an edge of a grid
# Metrics that share a panel of the curves.
CURVES = (
  ("loss",),
  ("vae_loss",),
  ("reconstruction",),
  ("flow_nll",),
  ("kl",),
  ("kl_real", "kl_rec", "kl_fake", "hinge_active"),
  ("spread",),
  ("kl_step/*",),
  ("error",),
  ("mse",),
  ("code_discriminator", "code_adversarial"),
  ("image_discriminator", "image_adversarial"),
  ("surprise", "information", "information_ceiling"),
  ("noise_information",),
  ("left_out",),
)
SHARES = ("hinge_active",)  # between 0 and 1 beside metrics that are not


class Pictures:
  """Draws grids during training, of the same codes and images each time."""

  def __init__(self, run: Run, logbook: Logbook) -> None:
    """Picks the images: of the validation split where there is one."""
    self._run, self._logbook = run, logbook
    source = run.validation or run.train
    rows = np.arange(min(4 * SIDE, len(source)))
    self._images = source.read(rows)["image"]

  def __call__(self, state: State, step: int) -> None:
    """Draws the grids of a state."""
    run = self._run
    model = Trained(
      run.config, run.method, state, run.train.image_shape, run.mesh
    )
    self.draw(model, step)

  def draw(self, model: Trained, step: int) -> None:
    """Draws samples, reconstructions, interpolations, and the curves."""
    self._logbook.plot("curves", _curves)
    if model.generative:
      samples = model.sample(SIDE * SIDE, seed=self._run.config.seed)
      self._logbook.images(step, "samples", grids.grid(samples, SIDE))
    if model.classes:
      sheet = model.class_sheet(10, seed=self._run.config.seed)
      flat = sheet.reshape(-1, *sheet.shape[2:])
      columns = grids.grid(flat, sheet.shape[1], border=True)
      self._logbook.images(step, "classes", columns)
    if model.painting:
      looks = self._images if model.classifying else None
      reel = model.film(SIDE, self._run.config.seed, looks)
      self._logbook.images(step, "film", films.strip(reel, enlarge=2))
    if model.classifying:
      return
    pairs = grids.side_by_side(
      self._images, model.reconstruct(self._images), SIDE
    )
    self._logbook.images(step, "reconstructions", pairs)
    half = len(self._images) // 2
    if half:
      paths = model.interpolate(
        self._images[:half][:SIDE], self._images[half:][:SIDE], SIDE
      )
      flat = paths.reshape(-1, *paths.shape[2:])
      self._logbook.images(step, "interpolations", grids.grid(flat, SIDE))


def _curves(log: pathlib.Path, png: pathlib.Path) -> None:
  """Draws the metrics; nothing where a picture is due before the first."""
  with contextlib.suppress(grids.NoMetrics):
    grids.curves(log, png, CURVES, SHARES)
