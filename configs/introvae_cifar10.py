"""IntroVAE on CIFAR-10: Huang et al. 2018, arXiv:1807.06358.

No setting of the paper: widths of Soft-IntroVAE's code, margin and weight of
AS-IntroVAE's repository. A GPU is advised. Presets `paper` (the default),
`official`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on CIFAR-10."""
  config = introspective.introvae(
    (64, 128, 256), 64, margin=10.0, beta=0.1, batch_size=64
  )
  config.data.name = "cifar10"
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words, beta=0.05)
