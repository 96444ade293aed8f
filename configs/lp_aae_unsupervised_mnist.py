"""Learned prior, random labels, on MNIST: arXiv:1909.04443, figures 12, 13.

Noise of 90 dimensions beside a label, codes of 100; no label is read. Presets:
configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The unsupervised learned prior on MNIST."""
  config = adversarial.unsupervised("mnist")
  return adversarial.finish(config, words)
