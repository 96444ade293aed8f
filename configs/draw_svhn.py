"""DRAW on SVHN's full numbers: arXiv:1502.04623, table 3 and figure 11.

Numbers of 64 x 64 pixels; squares of 54 are cut at random places in training
and centrally in evaluation. Intensities are taken as Bernoulli means, so that
there is no bound in nats; figure 11 lies between 5060 and 5220, and a grey
canvas costs 6064. Prepare the data first (docs/data.md). Never trained to its
end here. Presets: configs/drawing.py.
"""

from ml_collections import ConfigDict

from configs import drawing


def get_config(words: str = "") -> ConfigDict:
  """DRAW on SVHN."""
  config = drawing.draw("svhn_full")
  drawing.table(config, steps=32, hidden=800, read=12, write=12)
  config.steps = 350_000  # to where figure 11 goes
  config.data.image_size = 64
  config.data.random_crop = 54
  return drawing.finish(config, words)
