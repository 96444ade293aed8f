"""GLF on CelebA at 64x64: Xiao, Yan & Amit 2019, arXiv:1905.10485.

Paper: FID 53.2 (recalled from memory, not confirmed); 40 epochs, no decay.
The central 160 pixels of the aligned images are resized to 64, as in the
unofficial code that states its crop; the official folder's is unknown.
`:official` has BatchNorm in the flow, as the authors' code. A GPU is
advised: at 59 images/s two CPU cores would need 31 hours.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF on CelebA."""
  config = base.base()
  config.data.name = "celeba"
  config.data.crop = 160
  config.data.image_size = 64
  config.epochs = 40.0
  config.model.latent = 64
  config.flow.hidden = 256
  base.glf_players(config)
  config.optimizer.schedule = "constant"
  return base.preset(config, words, {"official": base.official}).lock()
