"""DRAW with convolutions at reading and writing, on SVHN's full numbers.

Sizes of draw_svhn, with which it is to be compared: convolutions of 32 and 64
maps take a patch of 12 x 12 to 6 x 6 and back; without attention 32, 64 and 128
take an image of 54 x 54 to 7 x 7. Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import draw_svhn, drawing


def get_config(words: str = "") -> ConfigDict:
  """Convolutional DRAW, variant A."""
  config = draw_svhn.get_config().unlock()
  config.method = "conv_draw"
  config = drawing.finish(config, words)
  if not config.draw.read and not config.draw.write:
    with config.unlocked():
      config.draw.channels = (32, 64, 128)
  return config
