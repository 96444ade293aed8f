"""The autoencoder on MNIST, with ten Gaussians fitted to its codes.

The ex-post density of Ghosh et al. 2020, arXiv:1903.12436.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """An autoencoder on MNIST."""
  config = base.base()
  config.method = "ae"
  config.optimizer.schedule = "step"
  config.prior.name = "mixture"
  return base.preset(config, words, {}).lock()
