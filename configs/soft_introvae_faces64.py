"""Soft-IntroVAE on any folder or zip of faces, 64x64: arXiv:2012.13253.

Give the images by `--config.data.path`. Widths are genlat's, after those of
the official code at 128 pixels; its README gives no weights for these images,
so they are those of CIFAR-10. Presets `bootstrap`, `vae`:
configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """Soft-IntroVAE on any folder or zip of faces, 64x64."""
  config = introspective.soft_introvae(
    (64, 128, 256, 512), 128, beta_fake=256.0, batch_size=32
  )
  config.data.name = "folder"
  config.data.image_size = 64
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
