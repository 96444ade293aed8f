"""The VAE that GLF is compared with, on cifar10.

The same networks and budget; squared error plus KL, weights 1 and 1.
Paper (GLF's table): FID 142.5 (recalled from memory, not confirmed).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """The VAE on cifar10."""
  config = base.base()
  config.data.name = "cifar10"
  config.epochs = 200.0
  config.model.latent = 64
  config.method = "vae"
  config.optimizer.schedule = "step"
  return base.preset(config, words, {}).lock()
