"""IntroVAE on MNIST: Huang et al. 2018, arXiv:1807.06358.

No setting of the paper: widths of Soft-IntroVAE's code, margin and weight of
AS-IntroVAE's repository. Presets `paper` (the default), `official`, `vae`:
configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on MNIST."""
  config = introspective.introvae(
    (64, 128), 32, margin=10.0, beta=0.1, batch_size=128
  )
  config.data.name = "mnist"
  return introspective.finish(config, words, beta=0.05)
