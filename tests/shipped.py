"""The shipped configurations, as tests ask for them."""

import importlib
import pathlib

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from genlat import methods
from genlat.methods.method import Batch, Method
from genlat.state import State

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
SHARED = ("adversarial", "base", "blocks", "drawing", "introspective", "run")
NAMES = sorted(
  path.stem for path in FOLDER.glob("*.py") if path.stem not in SHARED
)
SHAPES = {
  "binarized_mnist": (28, 28, 1),
  "celeba": (64, 64, 3),
  "cifar10": (32, 32, 3),
  "cluttered_mnist": (100, 100, 1),
  "digits": (8, 8, 1),
  "fashion_mnist": (28, 28, 1),
  "mnist": (28, 28, 1),
  "shapes": (64, 64, 3),
  "svhn": (32, 32, 3),
  "svhn_full": (64, 64, 3),
  "two_digits": (60, 60, 1),
}


def of_method(method: str) -> str:
  """The configuration that stands for a method."""
  named = {
    "conv_draw": "conv_draw_a_mnist",
    "glimpse_classifier": "cluttered_mnist",
  }
  return named.get(method, f"{method}_mnist")


def config(name: str, words: str = "", **changes: object) -> ConfigDict:
  """A shipped configuration, unlocked and with a known number of steps."""
  made = importlib.import_module(f"configs.{name}").get_config(words)
  made = made.copy_and_resolve_references().unlock()
  made.steps = made.steps or 100
  made.epoch_steps = 10
  for key, value in changes.items():
    made.update_from_flattened_dict({key.replace("__", "."): value})
  return made


def image_shape(made: ConfigDict) -> tuple[int, int, int]:
  """The shape of the images that a configuration trains on."""
  h, w, c = SHAPES.get(made.data.name, (64, 64, 3))
  size = made.data.random_crop or made.data.image_size
  return (size or h, size or w, c)


def build(made: ConfigDict) -> Method:
  """The method of a configuration."""
  return methods.build(made, image_shape(made))


def batch(made: ConfigDict, rows: int = 8, seed: int = 0) -> Batch:
  """Made-up float images, labels, positions, and vectors of captions."""
  key = jax.random.key(seed)
  got = {
    "image": jax.random.uniform(key, (rows, *image_shape(made))),
    "index": jnp.arange(rows),
    "label": jnp.arange(rows) % 10,
  }
  if made.aae.condition == "text":
    shape = (rows, 3, made.text.size)
    got["text"] = jax.random.normal(jax.random.fold_in(key, 1), shape)
  return got


def start(method: Method, made: ConfigDict, seed: int = 0) -> State:
  """The state at step 0.

  Not jitted: equal networks of all methods share one program.
  """
  return method.init(jax.random.key(seed), batch(made))
