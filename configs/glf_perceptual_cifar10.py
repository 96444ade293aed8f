"""GLF with a perceptual loss (glf.md 1.5), on cifar10.

Paper: FID 44.6 (confirmed by a mirror of the paper's table).
Needs VGG-16 weights: `--config.weights.vgg=FILE`. A GPU is advised.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF with a perceptual loss on cifar10."""
  config = base.base()
  config.data.name = "cifar10"
  config.epochs = 200.0
  config.model.latent = 64
  config.flow.hidden = 256
  config.likelihood.name = "perceptual"
  base.glf_players(config)
  return base.preset(config, words, {"official": base.official}).lock()
