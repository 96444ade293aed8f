"""Convolutional DRAW with a learned prior on binarised MNIST (variant B).

Sizes are genlat's, for a small image. No preset of
configs/drawing.py applies.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """Convolutional DRAW, variant B."""
  config = drawing.conv_b("binarized_mnist", steps=16, hidden=32, maps=4)
  return drawing.finish(config, words)
