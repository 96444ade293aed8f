"""Convolutional DRAW with a learned prior on SVHN: draw.md 6.2, variant B.

Sizes of kuleshov/convolutional-draw, on the cropped digits of 32 x 32
pixels. No preset of configs/drawing.py applies.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """Convolutional DRAW, variant B."""
  config = drawing.conv_b("svhn", steps=16, hidden=160, maps=12)
  config.batch_size = 64
  config.optimizer.lr = 1e-4
  return drawing.finish(config, words)
