"""Soft-IntroVAE on Fashion-MNIST: Daniel & Tamar 2021, arXiv:2012.13253.

Weights of the official code, which trains 250 epochs. Presets `bootstrap`,
`vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """Soft-IntroVAE on Fashion-MNIST."""
  config = introspective.soft_introvae(
    (64, 128), 32, beta_fake=256.0, batch_size=128
  )
  config.data.name = "fashion_mnist"
  return introspective.finish(config, words)
