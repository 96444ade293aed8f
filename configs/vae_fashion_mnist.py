"""The VAE that GLF is compared with, on fashion_mnist.

The same networks and budget; squared error plus KL, weights 1 and 1.
Paper (GLF's table): FID 57.5 (recalled from memory, not confirmed).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """The VAE on fashion_mnist."""
  config = base.base()
  config.data.name = "fashion_mnist"
  config.method = "vae"
  config.optimizer.schedule = "step"
  return base.preset(config, words, {}).lock()
