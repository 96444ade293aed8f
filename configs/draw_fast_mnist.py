"""DRAW of ten steps on binarised MNIST: minutes an epoch without a GPU.

Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """DRAW of ten steps on binarised MNIST."""
  config = drawing.draw("binarized_mnist")
  drawing.table(config, steps=10, hidden=256, read=5, write=5)
  config.model.latent = 10
  config.epochs = 30.0
  return drawing.finish(config, words)
