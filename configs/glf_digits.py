"""GLF on scikit-learn's embedded 8x8 digits: the demo, no download.

Paper: none reports it. About a minute of training on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """The demo's configuration."""
  config = base.base()
  config.data.name = "digits"
  config.data.image_size = 16
  config.batch_size = 128
  config.epochs = 150.0
  config.model.latent = 12
  config.model.channels = (32, 64)
  config.model.hidden = 256
  config.checkpoint.every = 500
  config.log.pictures = 500
  base.glf_players(config)
  return base.preset(config, words, {}).lock()
