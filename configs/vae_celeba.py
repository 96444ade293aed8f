"""The VAE that GLF is compared with, on celeba.

The same networks and budget; squared error plus KL, weights 1 and 1.
Paper (GLF's table): FID 71.0 (recalled from memory, not confirmed).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """The VAE on celeba."""
  config = base.base()
  config.data.name = "celeba"
  config.data.crop = 160
  config.data.image_size = 64
  config.epochs = 40.0
  config.model.latent = 64
  config.method = "vae"
  config.optimizer.schedule = "constant"
  return base.preset(config, words, {}).lock()
