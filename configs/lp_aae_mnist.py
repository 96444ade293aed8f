"""Adversarial autoencoder with a learned prior on MNIST: arXiv:1909.04443.

Codes and noise of 64 dimensions. Presets: configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The learned prior on MNIST."""
  config = adversarial.aae("mnist")
  return adversarial.finish(config, words)
