"""IntroVAE on drawn shapes at 128x128: Huang et al. 2018, arXiv:1807.06358.

No data to fetch: a trial of the large networks. No paper reports it, and margin
and weight are guesses. Presets `paper` (the default), `official`, `vae`:
configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on drawn shapes at 128x128."""
  config = introspective.introvae(
    (64, 128, 256, 512, 512), 64, margin=60.0, beta=0.5, batch_size=16
  )
  config.data.name = "shapes"
  config.data.image_size = 128
  config.epochs = 20.0
  return introspective.finish(config, words)
