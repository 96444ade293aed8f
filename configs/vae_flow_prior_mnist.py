"""The VAE with a flow prior, GLF's stochastic counterpart (glf.md 1.3).

Weight 400 on the squared error, as the official code's default.
Paper: FID 28.3 (recalled from memory, not confirmed).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """A VAE with a flow prior on MNIST."""
  config = base.base()
  config.method = "vae"
  config.optimizer.schedule = "step"
  config.vae.prior = "flow"
  config.vae.reconstruction = 400.0
  config.players.flow = base.flow_player()
  return base.preset(config, words, {"official": base.official}).lock()
