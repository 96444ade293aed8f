"""The autoencoder: J = R(x, dec(enc(x))), a sum over pixels.

It has no prior: samples need one that is fitted to its codes after training
(`config.prior.name`, `genlat.priors`); with the flow that is two-stage GLF.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
from ml_collections import ConfigDict

from genlat import optimizers
from genlat.methods.autoencoding import Autoencoding
from genlat.methods.method import Batch, Images, Latent
from genlat.state import Metrics, Player, State, advance, descend


@dataclasses.dataclass(frozen=True)
class AutoEncoder:
  """A deterministic autoencoder.

  Attributes:
    nets: its networks.
    players: one, `autoencoder`.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it has no prior of its own.
  """

  nets: Autoencoding
  players: Mapping[str, Player]
  ema: float
  generative: ClassVar[bool] = False

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "AutoEncoder":
    """Builds networks and player."""
    nets = Autoencoding.from_config(config, image_shape, statistics=1)
    return cls(
      nets=nets,
      players=optimizers.players(config, {"autoencoder": nets.nets}),
      ema=config.ema,
    )

  def frozen(self) -> dict[str, Any]:
    """Weights of the perceptual network, where there is one."""
    return self.nets.observation.frozen()

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0."""
    del batch
    return self.nets.start(rng, self.players, self.ema)

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """One move of the autoencoder."""
    del rng

    def loss(params: dict[str, Any], data: dict[str, jax.Array]):
      codes, enc = self.nets.encode(
        params, state.stats, data["image"], train=True
      )
      raw, dec = self.nets.decode(params, state.stats, codes, train=True)
      rec = self.nets.observation.nll(
        raw, data["image"], params, state.frozen
      ).mean()
      stats = {"encoder": enc, "decoder": dec}
      return rec, ({"loss": rec, "reconstruction": rec}, stats)

    data = {"image": batch["image"]}
    state, metrics = descend(state, self.players, "autoencoder", loss, data)
    return advance(state, self.ema), metrics

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """Reconstruction term and mean squared error, `[B]`."""
    del rng
    mean, x = state.averaged, batch["image"]
    params = mean.params
    codes, _ = self.nets.encode(params, mean.stats, x, train=False)
    raw, _ = self.nets.decode(params, mean.stats, codes, train=False)
    rec = self.nets.observation.nll(raw, x, params, state.frozen)
    return {
      "loss": rec,
      "reconstruction": rec,
      **self.nets.pixel_metrics(raw, x),
    }

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, latent]`; deterministic."""
    del rng
    return self.nets.codes(state, images)

  def decode(self, state: State, latent: Latent) -> Images:
    """Images of codes `[B, latent]`."""
    return self.nets.images(state, latent)

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """Raises ValueError: an autoencoder has no prior of its own."""
    del state, rng, n, condition
    raise ValueError(
      "an autoencoder has no prior to sample from; fit one to its codes with"
      " --mode=fit --config.prior.name=flow (or gaussian, mixture)"
    )
