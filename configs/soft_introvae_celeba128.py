"""Soft-IntroVAE on CelebA at 128x128: Daniel & Tamar 2021, arXiv:2012.13253.

Widths of the official code. `:vae` is a plain VAE of the same networks.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """Soft-IntroVAE on CelebA at 128x128."""
  config = introspective.soft_introvae(
    (64, 128, 256, 512, 512), 128, beta_fake=256.0, batch_size=16
  )
  config.data.name = "celeba"
  config.data.crop = 178
  config.data.image_size = 128
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
