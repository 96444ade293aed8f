"""GLF on any folder or zip of faces, at 64x64.

The networks and rates of `glf_celeba`; give the images by
`--config.data.path`. No paper reports it. A GPU is advised.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """GLF on a folder of faces."""
  config = base.base()
  config.data.name = "folder"
  config.data.image_size = 64
  config.epochs = 100.0
  config.model.latent = 64
  config.flow.hidden = 256
  base.glf_players(config)
  return base.preset(config, words, {"official": base.official}).lock()
