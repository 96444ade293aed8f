"""Two-stage GLF on MNIST: an autoencoder, then a flow on its frozen codes.

The control of GLF's claim that one stage is enough (glf.md 1.1, 5).
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """Two-stage GLF on MNIST."""
  config = base.base()
  config.method = "ae"
  config.optimizer.schedule = "step"
  config.prior.name = "flow"
  return base.preset(config, words, {}).lock()
