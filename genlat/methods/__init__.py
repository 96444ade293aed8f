"""All methods by name."""

from collections.abc import Callable

from ml_collections import ConfigDict

from genlat.methods.aae import Aae
from genlat.methods.ae import AutoEncoder
from genlat.methods.draw import Draw
from genlat.methods.glf import Glf
from genlat.methods.glimpse_classifier import GlimpseClassifier
from genlat.methods.introvae import Introvae
from genlat.methods.method import Method
from genlat.methods.soft_introvae import SoftIntrovae
from genlat.methods.vae import Vae

Builder = Callable[[ConfigDict, tuple[int, int, int]], Method]

METHODS: dict[str, Builder] = {
  "aae": Aae.from_config,
  "ae": AutoEncoder.from_config,
  "conv_draw": Draw.from_config,
  "conv_draw_b": Draw.from_config,
  "draw": Draw.from_config,
  "glf": Glf.from_config,
  "glimpse_classifier": GlimpseClassifier.from_config,
  "introvae": Introvae.from_config,
  "soft_introvae": SoftIntrovae.from_config,
  "vae": Vae.from_config,
}


def build(config: ConfigDict, image_shape: tuple[int, int, int]) -> Method:
  """The method that `config.method` names, for images of this shape.

  Raises:
    ValueError: for an unknown method, naming the known ones, and for values
      of the configuration that make no model.
  """
  if config.method not in METHODS:
    raise ValueError(
      f"config.method must be one of {', '.join(sorted(METHODS))};"
      f" got {config.method!r}"
    )
  return METHODS[config.method](config, image_shape)
