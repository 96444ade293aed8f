"""GLF with a perceptual loss (glf.md 1.5), on fashion_mnist.

Paper: FID 10.3 (recalled from memory, not confirmed).
Needs VGG-16 weights: `--config.weights.vgg=FILE`. A GPU is advised.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF with a perceptual loss on fashion_mnist."""
  config = base.base()
  config.data.name = "fashion_mnist"
  config.likelihood.name = "perceptual"
  base.glf_players(config)
  return base.preset(config, words, {"official": base.official}).lock()
