"""Learned prior given labels, on CIFAR-10: arXiv:1909.04443, figures 10, 11.

Noise of 54 dimensions beside a label, codes of 64. A GPU is advised. Presets:
configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The supervised learned prior on CIFAR-10."""
  config = adversarial.supervised("cifar10")
  return adversarial.finish(config, words)
