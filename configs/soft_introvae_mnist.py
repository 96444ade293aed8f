"""Soft-IntroVAE on MNIST: Daniel & Tamar 2021, arXiv:2012.13253.

Widths of the official code; beta_fake 128 instead of its 256, with which
KL_real ends above KL_fake (an issue of its repository). Presets `bootstrap`,
`vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """Soft-IntroVAE on MNIST."""
  config = introspective.soft_introvae(
    (64, 128), 32, beta_fake=128.0, batch_size=128
  )
  config.data.name = "mnist"
  return introspective.finish(config, words)
