"""IntroVAE on any folder or zip of faces, 128x128: arXiv:1807.06358.

Give the images by `--config.data.path`. Margin and weight of
`introvae_celeba128`. A GPU is advised. Presets `paper` (the default),
`official`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on faces at 128x128."""
  config = introspective.introvae(
    (64, 128, 256, 512, 512), 256, margin=110.0, beta=0.5, batch_size=16
  )
  config.data.name = "folder"
  config.data.image_size = 128
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
