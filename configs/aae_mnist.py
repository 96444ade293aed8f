"""AAE with a Gaussian prior on MNIST: the baseline of arXiv:1909.04443.

Pixel error, no image discriminator: as published. `:same` has the losses of the
learned prior instead. Presets: configs/adversarial.py.
"""

from ml_collections import ConfigDict

from configs import adversarial


def get_config(words: str = "") -> ConfigDict:
  """The baseline on MNIST."""
  config = adversarial.switches(adversarial.aae("mnist"), "")
  return adversarial.finish(config, words)
