"""IntroVAE on any folder or zip of faces, 256x256: arXiv:1807.06358.

Give the images by `--config.data.path`. Margin and weight of
`introvae_celebahq256`. A GPU is advised. Presets `paper` (the default),
`official`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on faces at 256x256."""
  config = introspective.introvae(
    (32, 64, 128, 256, 512, 512), 512, margin=120.0, beta=0.05, batch_size=16
  )
  config.data.name = "folder"
  config.data.image_size = 256
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
