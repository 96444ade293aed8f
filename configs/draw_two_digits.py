"""DRAW on two digits at random places, 60x60: arXiv:1502.04623, section 4.3.

The paper's table 3 has no row for it: windows of 12x12 and T 32 are genlat's.
Grey levels are taken as Bernoulli means, so that there is no bound in nats.
Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """DRAW on two digits."""
  config = drawing.draw("two_digits")
  drawing.table(config, steps=32, hidden=256, read=12, write=12)
  return drawing.finish(config, words)
