"""Convolutional DRAW with a learned prior on CIFAR-10: draw.md 6.2, variant B.

Sizes of kuleshov/convolutional-draw. No preset of
configs/drawing.py applies.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """Convolutional DRAW, variant B."""
  config = drawing.conv_b("cifar10", steps=32, hidden=320, maps=12)
  config.batch_size = 32
  config.optimizer.lr = 1e-4
  return drawing.finish(config, words)
