"""Learned prior, random labels, on SVHN: arXiv:1909.04443, figures 12, 13.

Noise of 90 dimensions beside a label, codes of 100; no label is read. A GPU is
advised. Presets: configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The unsupervised learned prior on SVHN."""
  config = adversarial.unsupervised("svhn")
  return adversarial.finish(config, words)
