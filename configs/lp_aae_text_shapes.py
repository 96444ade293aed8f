"""Text to image on drawn shapes: arXiv:1909.04443, section V, at 32 pixels.

Six of the 48 pairs of shape and colour are kept from training, to be asked for
afterwards: `python -m experiments.aae_prompts WORKDIR`. Presets:
configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The learned prior given captions of shapes."""
  config = adversarial.text("shapes")
  config.data.image_size = 32
  config.data.count = 20_000
  config.data.withhold = 6
  config.epochs = 40.0
  return adversarial.finish(config, words)
