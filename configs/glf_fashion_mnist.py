"""GLF on Fashion-MNIST: Xiao, Yan & Amit 2019, arXiv:1905.10485.

Paper: FID 21.3 (recalled from memory, not confirmed); 100 epochs.
`:official` has BatchNorm in the flow, as the authors' code.
Under 3 hours on two CPU cores (600 images/s); no GPU was tried.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF on Fashion-MNIST."""
  config = base.base()
  config.data.name = "fashion_mnist"
  base.glf_players(config)
  return base.preset(config, words, {"official": base.official}).lock()
