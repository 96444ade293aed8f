"""Adversarial autoencoder with a learned prior on CIFAR-10: arXiv:1909.04443.

Codes and noise of 64 dimensions. Inception Score 6.52 in the paper. A GPU is
advised. Presets: configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The learned prior on CIFAR-10."""
  config = adversarial.aae("cifar10")
  return adversarial.finish(config, words)
