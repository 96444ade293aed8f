"""Ablation of arXiv:1909.04443, table 3: A and B.

A is the learned prior, B the perceptual loss, C the decoder in both phases.
CIFAR-10; `:mnist` for MNIST at 32x32. Inception Score 3.69 in the paper. A GPU
is advised. Presets: configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The row ab of table 3."""
  config = adversarial.switches(adversarial.aae("cifar10"), "ab")
  return adversarial.finish(config, words)
