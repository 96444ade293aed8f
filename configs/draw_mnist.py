"""DRAW on binarised MNIST: arXiv:1502.04623, table 3 and figure 4.

Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """DRAW on binarised MNIST."""
  config = drawing.draw("binarized_mnist")
  drawing.table(config, steps=64, hidden=256, read=2, write=5)
  return drawing.finish(config, words)
