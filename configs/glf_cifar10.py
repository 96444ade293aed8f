"""GLF on CIFAR-10: Xiao, Yan & Amit 2019, arXiv:1905.10485.

Paper: FID 88.3 (recalled from memory, not confirmed); 200 epochs.
`:official` has BatchNorm in the flow, as the authors' code. A GPU is advised.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF on CIFAR-10."""
  config = base.base()
  config.data.name = "cifar10"
  config.epochs = 200.0
  config.model.latent = 64
  config.flow.hidden = 256
  base.glf_players(config)
  return base.preset(config, words, {"official": base.official}).lock()
