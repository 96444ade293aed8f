"""The importance-weighted autoencoder on binarised MNIST.

Burda et al. 2015, arXiv:1509.00519, with five draws; on the networks of the
VAE here, not on the paper's.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """IWAE on MNIST."""
  config = base.base()
  config.method = "vae"
  config.optimizer.schedule = "step"
  config.vae.samples = 5
  config.data.binarise = "dynamic"
  config.likelihood.name = "bernoulli"
  config.likelihood.activation = "sigmoid"
  return base.preset(config, words, {}).lock()
