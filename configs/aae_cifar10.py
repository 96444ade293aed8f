"""AAE with a Gaussian prior on CIFAR-10: the baseline of arXiv:1909.04443.

Pixel error, no image discriminator: as published. `:same` has the losses of the
learned prior instead. Inception Score 2.15 in the paper. Presets:
configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The baseline on CIFAR-10."""
  config = adversarial.switches(adversarial.aae("cifar10"), "")
  return adversarial.finish(config, words)
