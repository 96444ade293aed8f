"""DRAW with convolutions at reading and writing, on binarised MNIST.

Ten steps, as draw_fast_mnist, with which it is to be compared. Presets:
configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import draw_fast_mnist, drawing


def get_config(words: str = "") -> ConfigDict:
  """Convolutional DRAW, variant A."""
  config = draw_fast_mnist.get_config().unlock()
  config.method = "conv_draw"
  return drawing.finish(config, words)
