"""Soft-IntroVAE on any folder or zip of faces, 256x256: arXiv:2012.13253.

Give the images by `--config.data.path`. Widths and weights of CelebA-HQ in the
README of the official code (beta_kl 0.5, beta_rec 1, beta_neg 1024; a note in
its main.py has the first two swapped). Presets `bootstrap`, `vae`:
configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """Soft-IntroVAE on any folder or zip of faces, 256x256."""
  config = introspective.soft_introvae(
    (64, 128, 256, 512, 512, 512), 256, beta_fake=1024.0, batch_size=8
  )
  config.soft_introvae.beta_kl = 0.5
  config.data.name = "folder"
  config.data.image_size = 256
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
