"""The VAE on CIFAR-10 with a discretised logistic: bounds in bits/dim.

One learned scale for all pixels; grey levels, no dequantisation.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """A discretised-logistic VAE on CIFAR-10."""
  config = base.base()
  config.method = "vae"
  config.optimizer.schedule = "step"
  config.data.name = "cifar10"
  config.epochs = 200.0
  config.model.latent = 64
  config.likelihood.name = "logistic"
  config.likelihood.scale = 0.1
  config.likelihood.learned_scale = True
  return base.preset(config, words, {}).lock()
