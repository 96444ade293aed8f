"""GLF with a perceptual loss (glf.md 1.5), on CelebA at 64x64.

Paper: FID 41.8 (recalled from memory, not confirmed).
Needs VGG-16 weights: `--config.weights.vgg=FILE`. A GPU is advised.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF with a perceptual loss on CelebA at 64x64."""
  config = base.base()
  config.data.name = "celeba"
  config.data.crop = 160
  config.data.image_size = 64
  config.epochs = 40.0
  config.model.latent = 64
  config.flow.hidden = 256
  config.likelihood.name = "perceptual"
  base.glf_players(config)
  config.optimizer.schedule = "constant"
  return base.preset(config, words, {"official": base.official}).lock()
