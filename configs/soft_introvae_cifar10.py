"""Soft-IntroVAE on CIFAR-10: Daniel & Tamar 2021, arXiv:2012.13253.

Weights and epochs of the official code. The paper's FID of 4.6 is not
comparable with the standard one (introvae.md 6: its feature network normalises
by batch). Presets `bootstrap`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """Soft-IntroVAE on CIFAR-10."""
  config = introspective.soft_introvae(
    (64, 128, 256), 128, beta_fake=256.0, batch_size=32
  )
  config.data.name = "cifar10"
  config.epochs = 250.0
  return introspective.finish(config, words)
