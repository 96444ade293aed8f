"""Text to image on Oxford-102: arXiv:1909.04443, figures 14 and 15.

`config.data.path` names the folder of jpg and text_c10; with
`--config.data.name=folder`, a folder or .zip of flowers by class, whose names
serve as captions. Presets: configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The learned prior given captions of flowers, at 64 pixels."""
  config = adversarial.text("flowers")
  # The likest caption of another flower is often true of this one, too.
  config.aae.likest_captions = False
  # Of images of 76 pixels a random square and its mirror image, as Reed et al.
  config.data.image_size, config.data.random_crop = 76, 64
  config.data.flip = True
  # One width more than at 32 pixels, so that the maps have the same sides.
  config.model.channels = (64, 128, 256, 512, 512)
  config.aae.image_channels = (64, 128, 256, 512)
  config.epochs = 600.0
  return adversarial.finish(config, words)
