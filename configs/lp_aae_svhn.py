"""Adversarial autoencoder with a learned prior on SVHN: arXiv:1909.04443.

Codes and noise of 64 dimensions. A GPU is advised. Presets:
configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The learned prior on SVHN."""
  config = adversarial.aae("svhn")
  return adversarial.finish(config, words)
