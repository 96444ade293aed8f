"""IntroVAE on LSUN bedrooms at 256x256: Huang et al. 2018, arXiv:1807.06358.

Give the folder or zip of images by `--config.data.path`. FID 8.84 and MS-SSIM
.0532 at 128 pixels (recalled from memory, not confirmed); margin and weights
are those of CelebA-HQ. Presets `paper` (the default), `official`, `vae`:
configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on LSUN bedrooms at 256x256."""
  config = introspective.introvae(
    (32, 64, 128, 256, 512, 512), 512, margin=120.0, beta=0.05, batch_size=32
  )
  config.data.name = "folder"
  config.data.image_size = 256
  config.data.flip = True
  config.epochs = 10.0
  config.model.dtype = "bfloat16"
  return introspective.finish(config, words)
