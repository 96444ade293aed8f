"""Cluttered MNIST by eight glimpses: arXiv:1502.04623, section 4.1, table 1.

Windows of 12x12, 8 glimpses and 256 units are the paper's (table 3); it states
neither rate nor batch nor clip. Scenes are made anew at each step, of the
digits in MNIST's folder. Preset `four`: 4 glimpses.
"""

from ml_collections import ConfigDict

from configs import base, drawing


def get_config(words: str = "") -> ConfigDict:
  """The classifier of glimpses."""
  config = drawing.draw("cluttered_mnist")
  config.method = "glimpse_classifier"
  config.draw.steps, config.draw.hidden = 8, 256
  config.draw.read = 12
  config.optimizer.lr = 3e-4  # at 1e-3 windows are lost outside of the image
  config.optimizer.schedule = "cosine"
  config.evaluation.metrics = ("classification",)
  return base.preset(config, words, {"four": _four}).lock()


def _four(config: ConfigDict) -> None:
  config.draw.steps = 4
