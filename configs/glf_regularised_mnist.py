"""GLF without the stop-gradient, on MNIST (glf.md 1.2).

The flow's NLL reaches the encoder, so that codes shrink unless the
reconstruction weighs enough: the reason for the stop-gradient.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(words: str = "") -> ConfigDict:
  """Regularised GLF on MNIST."""
  config = base.base()
  base.glf_players(config)
  config.glf.stop_gradient = False
  config.glf.beta = 100.0
  return base.preset(config, words, {"official": base.official}).lock()
