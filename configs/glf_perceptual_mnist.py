"""GLF with a perceptual loss (glf.md 1.5), on mnist.

Paper: FID 5.8 (confirmed by a mirror of the paper's table).
Needs VGG-16 weights: `--config.weights.vgg=FILE`. A GPU is advised.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF with a perceptual loss on mnist."""
  config = base.base()
  config.likelihood.name = "perceptual"
  base.glf_players(config)
  return base.preset(config, words, {"official": base.official}).lock()
