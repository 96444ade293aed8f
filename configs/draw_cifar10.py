"""DRAW on CIFAR-10: arXiv:1502.04623, table 3 and figure 12.

Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """DRAW on CIFAR-10."""
  config = drawing.draw("cifar10")
  drawing.table(config, steps=64, hidden=400, read=5, write=5)
  config.model.latent = 200
  return drawing.finish(config, words)
