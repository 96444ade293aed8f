"""IntroVAE on MNIST: Huang et al. 2018, arXiv:1807.06358.

No setting of the paper: widths of Soft-IntroVAE's code; weight and margin are
genlat's. With those of AS-IntroVAE's repository (0.1 and 10) codes said nothing
of their images after half an epoch. Presets `paper` (the default), `official`,
`vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on MNIST."""
  config = introspective.introvae(
    (64, 128), 32, margin=20.0, beta=2.0, batch_size=128
  )
  config.data.name = "mnist"
  return introspective.finish(config, words, beta=1.0)
