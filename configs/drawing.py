"""What the configurations of DRAW share.

Presets: `noattention` (the whole image is read and written), `zero_start`,
`noerror` (no error image), `read_only`, `write_only`: the ablations.
"""

from ml_collections import ConfigDict

from configs import base


def draw(data: str) -> ConfigDict:
  """DRAW; the paper states neither rate nor batch, clip or epochs.

  Rate, batch and clip are those of public code (draw.md 3, [K]).
  """
  config = base.base()
  config.method = "draw"
  config.data.name = data
  config.batch_size = 128
  config.epochs = 100.0
  config.likelihood.name = "bernoulli"
  config.likelihood.activation = "sigmoid"
  config.model.latent = 100
  config.model.remat = True
  config.optimizer.lr = 1e-3
  config.optimizer.clip = 10.0
  return config


def table(
  config: ConfigDict, *, steps: int, hidden: int, read: int, write: int
) -> ConfigDict:
  """A row of the paper's table 3."""
  config.draw.steps, config.draw.hidden = steps, hidden
  config.draw.read, config.draw.write = read, write
  return config


def conv_b(data: str, *, steps: int, hidden: int, maps: int) -> ConfigDict:
  """Variant B of convolutional DRAW; a likelihood of grey levels on colour."""
  config = draw(data)
  config.method = "conv_draw_b"
  config.draw.steps, config.draw.hidden = steps, hidden
  config.model.latent = maps
  if data != "binarized_mnist":
    config.likelihood.name = "logistic"
    config.likelihood.scale = 0.05
    config.likelihood.learned_scale = True
  return config


def finish(config: ConfigDict, words: str) -> ConfigDict:
  """Applies presets and locks."""
  presets = {
    "noattention": _noattention,
    "read_only": _read_only,
    "write_only": _write_only,
    "noerror": _noerror,
    "zero_start": _zero_start,
  }
  return base.preset(config, words, presets).lock()


def _noattention(config: ConfigDict) -> None:
  config.draw.read = config.draw.write = 0


def _read_only(config: ConfigDict) -> None:
  config.draw.write = 0


def _write_only(config: ConfigDict) -> None:
  config.draw.read = 0


def _noerror(config: ConfigDict) -> None:
  config.draw.error_image = False


def _zero_start(config: ConfigDict) -> None:
  config.draw.learned_start = False
