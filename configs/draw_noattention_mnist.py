"""DRAW without attention on binarised MNIST: arXiv:1502.04623, table 2.

Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """DRAW without attention on binarised MNIST."""
  config = drawing.draw("binarized_mnist")
  drawing.table(config, steps=64, hidden=256, read=0, write=0)
  return drawing.finish(config, words)
