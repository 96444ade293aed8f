"""The VAE on binarised MNIST: bounds in nats.

Bernoulli likelihood, pixels drawn anew at each visit.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """A Bernoulli VAE on MNIST."""
  config = base.base()
  config.method = "vae"
  config.optimizer.schedule = "step"
  config.data.binarise = "dynamic"
  config.likelihood.name = "bernoulli"
  config.likelihood.activation = "sigmoid"
  return base.preset(config, words, {}).lock()
