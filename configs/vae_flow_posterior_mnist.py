"""The VAE with a flow posterior (glf.md 5, variant 7).

Paper: FID 26.7 (recalled from memory, not confirmed).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """A VAE with a flow posterior on MNIST."""
  config = base.base()
  config.method = "vae"
  config.optimizer.schedule = "step"
  config.vae.posterior = "flow"
  config.players.flow = base.flow_player()
  return base.preset(config, words, {"official": base.official}).lock()
