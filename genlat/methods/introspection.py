"""What IntroVAE and Soft-IntroVAE share: networks, turns, evaluation, health.

Both play encoder against decoder in two turns of one step: the encoder moves
first; the decoder then meets the encoder that has moved, with the codes and
the prior noise of the first turn (official code; introvae.md 1.3).
"""

import abc
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from genlat import optimizers, scans
from genlat.losses import elbo
from genlat.methods.autoencoding import Autoencoding
from genlat.methods.method import Batch, Images, Latent, unconditional
from genlat.state import (
  Metrics,
  Player,
  State,
  advance,
  descend,
  descend_together,
)

PyTree = Any
Data = dict[str, jax.Array]
TURNS = {"encoder": ("encoder",), "decoder": ("decoder",)}
STATISTICS = ("all", "real")
# Metrics of the pretraining.
PLAIN = ("loss", "reconstruction", "kl_real")
# The encoder of the first turn's start, as the second turn's loss finds it.
BEFORE = "encoder_before"


@dataclasses.dataclass(frozen=True)
class Introspection(abc.ABC):
  """A VAE whose encoder judges images by their KL.

  Attributes:
    nets: encoder (mean and log-variance), decoder, observation model.
    players: `encoder` and `decoder`.
    pretrain: steps of a plain VAE before the turns.
    statistics: which passes move the encoder's normalisation averages: 'all'
      as the official code's, or those of 'real' images alone. The decoder's
      move with the passes of prior noise and of posterior codes either way;
      in Soft-IntroVAE made images that are decoded again count under 'all'.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it has a prior to sample from.
  """

  nets: Autoencoding
  players: Mapping[str, Player]
  pretrain: int
  statistics: str
  ema: float
  generative: ClassVar[bool] = True

  @abc.abstractmethod
  def encoder_turn(
    self, before: State, params: dict[str, PyTree], data: Data
  ) -> tuple[jax.Array, Any]:
    """The encoder's loss, its metrics and averages, as `descend` asks."""

  @abc.abstractmethod
  def decoder_turn(
    self, now: State, params: dict[str, PyTree], data: Data
  ) -> tuple[jax.Array, Any]:
    """The decoder's, after the encoder's move; `params` holds BEFORE, too."""

  @abc.abstractmethod
  def plain(self, kl: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """The loss of real images alone, `[B]`: a weighted VAE's."""

  def pretraining(self, kl: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """The loss of the pretraining, `[B]`."""
    return self.plain(kl, reconstruction)

  def constants(self, state: State) -> dict[str, PyTree]:
    """Further weights that both turns are given and none moves."""
    del state
    return {}

  def turns(self, state: State, data: Data) -> tuple[State, Metrics]:
    """The encoder moves; then the decoder, through the encoder that has."""
    others = self.constants(state)
    before = {BEFORE: state.params["encoder"], **others}
    state, metrics = descend(
      state,
      self.players,
      "encoder",
      functools.partial(self.encoder_turn, state),
      data,
      others=others,
    )
    state, more = descend(
      state,
      self.players,
      "decoder",
      functools.partial(self.decoder_turn, state),
      data,
      others=before,
    )
    return state, metrics | more

  def measured(self, metrics: Mapping[str, float]) -> dict[str, float]:
    """Without the zeros of the pretraining."""
    if metrics.get("game", 1.0):
      return dict(metrics)
    names = (*PLAIN, "game", *(f"grad_norm/{who}" for who in self.players))
    return {name: metrics[name] for name in names if name in metrics}

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
    """Both turns, or a step of the plain VAE during the pretraining."""
    data = self.draws(batch, rng)
    if not self.pretrain:
      state, metrics = self.turns(state, data)
    else:
      state, metrics = scans.cond(
        state.step < self.pretrain,
        self.warm,
        self.turns,
        state,
        data,
        convolutional=True,
      )
    return advance(state, self.ema), metrics

  def draws(self, batch: Batch, rng: jax.Array) -> Data:
    """Images, noise of five posteriors `[B, 5, d]`, and noise of the prior."""
    on_posterior, on_prior = jax.random.split(rng)
    rows, d = batch["image"].shape[0], self.nets.latent
    return {
      "image": batch["image"],
      "noise": jax.random.normal(on_posterior, (rows, 5, d)),
      "prior": jax.random.normal(on_prior, (rows, d)),
    }

  def warm(self, state: State, data: Data) -> tuple[State, Metrics]:
    """A step of the plain VAE; metrics of the turns alone are 0."""

    def loss(params: dict[str, PyTree], data: Data):
      mean, log_var, enc = self.encode_in(params, state.stats, data["image"])
      z = self.code(mean, log_var, data["noise"][:, 0])
      raw, dec = self.decode_in(params, state.stats, z)
      rec = self.reconstruction(raw, data["image"], state)
      kl = self.energy(mean, log_var)
      value = self.pretraining(kl, rec).mean()
      values = (value, rec.mean(), kl.mean())
      stats = {"encoder": enc, "decoder": dec}
      return value, (dict(zip(PLAIN, values, strict=True)), stats)

    losses = dict.fromkeys(self.players, loss)
    after, metrics = descend_together(state, self.players, losses, data)
    asked = jax.eval_shape(self.turns, state, data)[1]
    zeros = {k: jnp.zeros(v.shape, v.dtype) for k, v in asked.items()}
    return after, zeros | metrics

  def encode_in(
    self, params: PyTree, stats: PyTree, images: jax.Array
  ) -> tuple[jax.Array, jax.Array, PyTree]:
    """Mean and log-variance `[B, d]` in training, and the averages after."""
    out, moved = self.nets.encode(params, stats, images, train=True)
    mean, log_var = jnp.split(out, 2, -1)
    return mean, log_var, moved

  def decode_in(
    self, params: PyTree, stats: PyTree, codes: jax.Array
  ) -> tuple[jax.Array, PyTree]:
    """Raw output `[B, H, W, C]` in training, and the averages after."""
    return self.nets.decode(params, stats, codes, train=True)

  def judge(
    self, params: PyTree, stats: PyTree, images: jax.Array
  ) -> tuple[jax.Array, jax.Array, PyTree]:
    """`encode_in` of made images: averages move where `statistics` is all."""
    mean, log_var, moved = self.encode_in(params, stats, images)
    if self.statistics == "real":
      moved = stats["encoder"]
    return mean, log_var, moved

  def reconstruction(
    self, raw: jax.Array, images: jax.Array, state: State
  ) -> jax.Array:
    """Reconstruction term of each image, `[B]`."""
    return self.nets.observation.nll(raw, images, state.params, state.frozen)

  def first_codes(self, params: PyTree, state: State, data: Data) -> jax.Array:
    """The first turn's codes of real images again, as constants, `[B, d]`.

    With BatchNorm, or none, XLA merges this pass and the images decoded again
    with those of the first turn (but for rematerialised blocks), as the
    official code keeps its graph; by groups it computes some of them twice.
    """
    before = {"encoder": params[BEFORE]}
    mean, log_var, _ = self.encode_in(before, state.stats, data["image"])
    return lax.stop_gradient(self.code(mean, log_var, data["noise"][:, 0]))

  def code(
    self, mean: jax.Array, log_var: jax.Array, noise: jax.Array
  ) -> jax.Array:
    """A draw of the posterior, `[B, d]`."""
    return draw(mean, log_var, noise)

  def energy(self, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """E of images: their KL, `[B]` nats."""
    return elbo.kl_standard_normal(mean, log_var)

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """The plain VAE's loss, its parts, and the KL of made images, `[B]`.

    Named `vae_loss`: the `loss` of training is that of the game.
    """
    x, state = batch["image"], state.averaged
    data = self.draws(batch, rng)
    mean, log_var = self.posterior(state, x)
    raw, _ = self.nets.decode(
      state.params,
      state.stats,
      self.code(mean, log_var, data["noise"][:, 0]),
      train=False,
    )
    noise, _ = self.nets.decode(
      state.params, state.stats, data["prior"], train=False
    )
    show = self.nets.observation.mean
    rec = self.reconstruction(raw, x, state)
    kl = elbo.kl_standard_normal(mean, log_var)
    values = {
      "vae_loss": self.plain(kl, rec),
      "reconstruction": rec,
      "kl_real": kl,
      "kl_rec": elbo.kl_standard_normal(*self.posterior(state, show(raw))),
      "kl_fake": elbo.kl_standard_normal(*self.posterior(state, show(noise))),
    }
    return values | self.nets.pixel_metrics(raw, x)

  @property
  def gaussian(self) -> bool:
    """The posterior is a Gaussian."""
    return True

  @property
  def standard(self) -> bool:
    """The prior is N(0, I): the KL is closed where the posterior is."""
    return self.gaussian

  def posterior(
    self, state: State, images: Images
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and log-variance of q(z | x), `[B, d]` each."""
    mean, log_var = jnp.split(self.nets.codes(state, images), 2, -1)
    return mean, log_var

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, d]`: the posterior's mean, or a draw."""
    mean, log_var = self.posterior(state, images)
    if rng is None:
      return mean
    return draw(mean, log_var, jax.random.normal(rng, mean.shape))

  def decode(self, state: State, latent: Latent) -> Images:
    """Images of codes `[B, d]`."""
    return self.nets.images(state, latent)

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """Mean images of codes drawn from N(0, I)."""
    unconditional(condition, type(self).__name__.lower())
    noise = jax.random.normal(rng, (n, self.nets.latent))
    return self.decode(state, noise)


def draw(mean: jax.Array, log_var: jax.Array, noise: jax.Array) -> jax.Array:
  """A code of N(mean, exp(log_var)), `[B, d]`."""
  return mean + jnp.exp(0.5 * log_var) * noise


def spread(made: jax.Array, real: jax.Array) -> jax.Array:
  """Root mean square distance of pairs of samples over that of real images.

  Twice the summed variance is the mean squared distance of a pair. Towards 0
  the samples are all alike.

  Args:
    made: samples `[B, ...]`.
    real: images `[B, ...]`.

  Returns:
    `[]`, without gradient; 1 where one image alone has no pair.
  """
  if len(made) < 2:
    return jnp.ones(())
  ratio = made.var(0).sum() / jnp.maximum(real.var(0).sum(), 1e-12)
  return lax.stop_gradient(jnp.sqrt(ratio))


def shared(config: ConfigDict, nets: Autoencoding) -> dict[str, Any]:
  """The fields of `Introspection` but its networks and players.

  Raises:
    ValueError: for values that make no game.
  """
  block = config.introspection
  if block.statistics not in STATISTICS:
    raise ValueError(
      "config.introspection.statistics must be one of"
      f" {', '.join(STATISTICS)}; got {block.statistics!r}"
    )
  if block.pretrain < 0:
    raise ValueError(
      "config.introspection.pretrain must be at least 0 epochs; got"
      f" {block.pretrain}"
    )
  parts = {optimizers.settings_of(config, who).accumulate for who in TURNS}
  if len(parts) > 1:
    raise ValueError(
      "both turns must cut the batch alike, or they see other codes: set"
      " config.optimizer.accumulate, not players' own"
    )
  if nets.observation.learned_scale:
    raise ValueError(
      f"{config.method} weighs its reconstruction itself: set"
      " config.likelihood.learned_scale to False"
    )
  return {
    "pretrain": max(
      round(block.pretrain * config.epoch_steps), int(block.pretrain > 0)
    ),
    "statistics": block.statistics,
    "ema": config.ema,
  }
