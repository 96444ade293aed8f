"""Classification by glimpses: what DRAW's attention does without painting.

Gregor et al. 2015 (arXiv:1502.04623), section 4.1: after T glimpses through a
window that the network itself places, the cross-entropy of the label, at the
last glimpse only. No code is drawn and no image is made.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from genlat import optimizers
from genlat import state as states
from genlat.methods.autoencoding import DTYPES
from genlat.methods.draw_config import check_idle
from genlat.methods.method import Batch, Images, Latent
from genlat.nets.draw import Film
from genlat.nets.glimpses import Glance, Glimpses
from genlat.state import Metrics, Player, State, advance, descend

PyTree = Any


@dataclasses.dataclass(frozen=True)
class GlimpseClassifier:
  """A classifier that looks several times.

  Attributes:
    net: the recurrent network.
    players: `classifier`.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it makes no images.
  """

  net: Glimpses
  players: Mapping[str, Player]
  ema: float
  generative: ClassVar[bool] = False

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "GlimpseClassifier":
    """Builds the network; raises ValueError for impossible values."""
    _check(config)
    block = config.draw
    return cls(
      net=Glimpses(
        image_shape=image_shape,
        classes=block.classes,
        steps=block.steps,
        hidden=block.hidden,
        read=block.read,
        learned_start=block.learned_start,
        learned_cell=block.learned_cell,
        dtype=DTYPES[config.model.dtype],
        remat=config.model.remat,
        unroll=block.unroll,
      ),
      players=optimizers.players(
        config, {"classifier": ("classifier",)}, dense=("classifier",)
      ),
      ema=config.ema,
    )

  @property
  def classes(self) -> int:
    """Number of labels."""
    return self.net.classes

  def frozen(self) -> dict[str, Any]:
    """No weights are read from files."""
    return {}

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0."""
    del batch
    image = jnp.zeros((1, *self.net.image_shape))
    params, stats = states.initialise(self.net, rng, image)
    return states.create(
      {"classifier": params},
      {"classifier": stats},
      self.players,
      ema=self.ema > 0,
    )

  def look(self, params: PyTree, images: Images) -> Glance:
    """All glimpses at images `[B, H, W, C]`."""
    out, _ = states.apply(
      self.net, params["classifier"], {}, images, train=False
    )
    return out

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """One move on the cross-entropy, nats."""
    del rng

    def loss(params: PyTree, data: dict[str, jax.Array]):
      logits = self.look(params, data["image"]).logits
      cost, error = _judged(logits, data["label"])
      metrics = {"loss": cost.mean(), "error": error.mean()}
      return metrics["loss"], (metrics, {})

    data = {"image": batch["image"], "label": batch["label"]}
    state, metrics = descend(state, self.players, "classifier", loss, data)
    return advance(state, self.ema), metrics

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """Cross-entropy in nats, and 1 where the label is wrong, `[B]`."""
    del rng
    cost, error = _judged(self.classify(state, batch["image"]), batch["label"])
    return {"loss": cost, "error": error}

  def classify(self, state: State, images: Images) -> jax.Array:
    """Logits of the labels of images, `[B, K]`."""
    return self.look(state.averaged.params, images).logits

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """The state after the last glimpse, `[B, h]`; deterministic."""
    del rng
    return self.look(state.averaged.params, images).state

  def decode(self, state: State, latent: Latent) -> Images:
    """Raises ValueError: a classifier makes no images."""
    del state, latent
    raise ValueError("a classifier of glimpses makes no images")

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """Raises ValueError: a classifier makes no images."""
    del state, rng, n, condition
    raise ValueError("a classifier of glimpses makes no images")

  def film(
    self, state: State, rng: jax.Array, n: int, images: Images | None = None
  ) -> Film:
    """Where it looks: the images at each step, and the windows.

    Raises:
      ValueError: without images.
    """
    del rng, n
    if images is None:
      raise ValueError(
        "a classifier of glimpses is filmed looking at images: give --copies"
      )
    seen = self.look(state.averaged.params, images).seen
    times = self.net.steps + 1
    canvas = jnp.broadcast_to(
      images[:, None], (len(images), times, *images.shape[1:])
    )
    return Film(canvas, None, seen)


def _judged(
  logits: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Cross-entropy in nats and whether the likeliest label is wrong, `[B]`."""
  cost = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return cost, (logits.argmax(-1) != labels).astype(jnp.float32)


def _check(config: ConfigDict) -> None:
  """Raises ValueError for values that make no network."""
  block = config.draw
  least = {"steps": 1, "hidden": 1, "read": 0, "unroll": 1, "classes": 2}
  for key, low in least.items():
    if block[key] < low:
      raise ValueError(
        f"config.draw.{key} must be at least {low}; got {block[key]}"
      )
  check_idle(
    config,
    {"write": 5, "error_image": True, "kl_weight": 1.0, "kl_weights": ()},
  )
  if config.model.dtype not in DTYPES:
    raise ValueError(
      f"config.model.dtype must be one of {', '.join(DTYPES)};"
      f" got {config.model.dtype!r}"
    )
  if config.prior.name != "none":
    raise ValueError(
      "a classifier of glimpses decodes no codes: set config.prior.name to none"
    )
