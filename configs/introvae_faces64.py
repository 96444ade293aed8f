"""IntroVAE on any folder or zip of faces, 64x64: arXiv:1807.06358.

Give the images by `--config.data.path`. The paper's sizes begin at 128: margin
and weight are guesses. A GPU is advised. Presets `paper` (the default),
`official`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on faces at 64x64."""
  config = introspective.introvae(
    (64, 128, 256, 512), 128, margin=110.0, beta=1.0, batch_size=32
  )
  config.data.name = "folder"
  config.data.image_size = 64
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
