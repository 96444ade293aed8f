"""IntroVAE: an introspective variational autoencoder with a margin.

Huang, Li, He, Sun, Tan 2018 (arXiv:1807.06358), equations 5 to 12, algorithm 1
(introvae.md 1). With E = KL(q(z|x) || N(0, I)), x_r = G(z), z ~ q(z|x), and
x_p = G(z_p), z_p ~ N(0, I):

  L_E = E(x) + alpha_E sum_s [m - E(sg x_s)]^+ + beta L_AE(x, x_r)      (11)
  L_G =        alpha_G sum_s E(x_s)            + beta L_AE(x, x_r)      (12)

The encoder moves by (11); the decoder then by (12) through the encoder that
has moved, with the same z and z_p. In the official code the reconstruction
reaches the decoder through gradients that are not zeroed between the turns,
which is the same. Made images are decoded anew in the second turn: the
decoder has not moved, so they are the same images.

With `regulariser` 'age' E is the divergence of the batch's statistics (Ulyanov
et al. 2018). Departure: only E is AGE's; its reconstruction loss of codes for
the decoder is left out, and the margin stays.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from ml_collections import ConfigDict

from genlat import optimizers
from genlat.losses import elbo, introspective
from genlat.methods.autoencoding import Autoencoding
from genlat.methods.introspection import (
  TURNS,
  Data,
  Introspection,
  draw,
  shared,
  spread,
)
from genlat.methods.introspection_health import SILENCE, ailments
from genlat.methods.method import Batch, Images, Latent
from genlat.state import Metrics, State

PyTree = Any
HINGES = ("batch_mean", "per_sample")
REGULARISERS = ("age", "kl")


@dataclasses.dataclass(frozen=True)
class Introvae(Introspection):
  """IntroVAE; attributes beside those of `Introspection`.

  Attributes:
    regulariser: E is the 'kl' of each image, or 'age': that of the batch's
      statistics, on codes without noise (AGE).
    hinge: of E 'per_sample', or of its 'batch_mean' as in the official code.
    margin: m, nats.
    alpha_encoder: weight of each hinge.
    alpha_decoder: weight of each made image's E.
    beta: weight of the reconstruction.
    half: whether that is half the energy (paper, equation 10).
    plain_pretrain: whether the pretraining weighs all by 1 (official code).
  """

  regulariser: str
  hinge: str
  margin: float
  alpha_encoder: float
  alpha_decoder: float
  beta: float
  half: bool
  plain_pretrain: bool

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "Introvae":
    """Builds networks and players; raises ValueError for what is no game."""
    block = config.introvae
    for key, known in (("hinge", HINGES), ("regulariser", REGULARISERS)):
      if block[key] not in known:
        raise ValueError(
          f"config.introvae.{key} must be one of {', '.join(known)};"
          f" got {block[key]!r}"
        )
    for key in ("margin", "alpha_encoder", "alpha_decoder", "beta"):
      if block[key] < 0:
        raise ValueError(
          f"config.introvae.{key} must be at least 0; got {block[key]}"
        )
    parts = optimizers.settings_of(config, "encoder").accumulate
    if block.regulariser == "age" and config.batch_size < 2 * parts:
      raise ValueError(
        "config.introvae.regulariser age takes the spread of codes of a part:"
        f" batch_size {config.batch_size} in {parts} parts leaves fewer than 2"
      )
    nets = Autoencoding.from_config(config, image_shape, statistics=2)
    return cls(
      nets=nets,
      players=optimizers.players(config, TURNS),
      **shared(config, nets),
      **block.to_dict(),
    )

  @property
  def weight(self) -> float:
    """Of the reconstruction's energy."""
    return self.beta * (0.5 if self.half else 1.0)

  def plain(self, kl: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """Equation 11 without hinges, `[B]`."""
    return kl + self.weight * reconstruction

  def pretraining(self, kl: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """Equation 11 without hinges; all weights 1 in the official code."""
    if self.plain_pretrain:
      return kl + reconstruction
    return self.plain(kl, reconstruction)

  def encoder_turn(self, before: State, params: dict[str, PyTree], data: Data):
    """Equation 11."""
    x, show = data["image"], self.nets.observation.mean
    mean, log_var, enc = self.encode_in(params, before.stats, x)
    z = self.code(mean, log_var, data["noise"][:, 0])
    fake, dec = self.decode_in(params, before.stats, data["prior"])
    raw, dec = self.decode_in(params, {"decoder": dec}, z)
    energies, enc = self.energies(
      params, enc, *(lax.stop_gradient(show(y)) for y in (raw, fake))
    )
    real = self.energy(mean, log_var)
    rec = self.reconstruction(raw, x, before)
    loss = introspective.encoder_loss(
      real.mean(),
      [self._hinge(e) for e in energies],
      rec.mean(),
      alpha=self.alpha_encoder,
      beta=self.weight,
    )
    metrics = {
      "loss": loss,
      "reconstruction": rec.mean(),
      "kl_real": real.mean(),
      "kl_rec": energies[0].mean(),
      "kl_fake": energies[1].mean(),
      "hinge_active": self._active(energies),
      "spread": spread(show(fake), x),
      "game": jnp.float32(1.0),
    }
    return loss, (metrics, {"encoder": enc, "decoder": dec})

  def decoder_turn(self, now: State, params: dict[str, PyTree], data: Data):
    """Equation 12, through the encoder that has moved."""
    x, show = data["image"], self.nets.observation.mean
    z = self.first_codes(params, now, data)
    # The decoder's averages have counted both passes in the first turn.
    fake, _ = self.decode_in(params, now.stats, data["prior"])
    raw, _ = self.decode_in(params, now.stats, z)
    energies, enc = self.energies(
      params, now.stats["encoder"], show(raw), show(fake)
    )
    loss = introspective.decoder_loss(
      [e.mean() for e in energies],
      self.reconstruction(raw, x, now).mean(),
      alpha=self.alpha_decoder,
      beta=self.weight,
    )
    return loss, ({"loss_decoder": loss}, {"encoder": enc})

  def energies(
    self, params: PyTree, stats: PyTree, *made: jax.Array
  ) -> tuple[list[jax.Array], PyTree]:
    """E of made images, in their order, and the encoder's averages after."""
    values = []
    for images in made:
      mean, log_var, stats = self.judge(params, {"encoder": stats}, images)
      values.append(self.energy(mean, log_var))
    return values, stats

  def health(self, history: Sequence[Mapping[str, float]]) -> list[str]:
    """What is wrong with the game, with the key to change."""
    return ailments(
      history,
      cure="raise config.introvae.alpha_encoder or config.introvae.margin,"
      " or begin with config.introspection.pretrain",
      explosion=max(10.0 * self.margin, 1000.0),
      # AGE's divergence is that of a batch, and 0 is its aim.
      silence=0.0 if self.ageing else SILENCE,
    )

  def code(
    self, mean: jax.Array, log_var: jax.Array, noise: jax.Array
  ) -> jax.Array:
    """A draw of the posterior; AGE's codes are the means."""
    return mean if self.ageing else draw(mean, log_var, noise)

  def energy(self, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """E, `[B]`; the batch's, `[]`, for AGE."""
    if self.ageing:
      return introspective.batch_statistics_kl(mean)
    return elbo.kl_standard_normal(mean, log_var)

  @property
  def ageing(self) -> bool:
    """Whether E is AGE's: the log-variances then mean nothing."""
    return self.regulariser == "age"

  @property
  def gaussian(self) -> bool:
    """Whether the posterior is a Gaussian."""
    return not self.ageing

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, d]`: the posterior's mean, or a draw; AGE has none."""
    return super().encode(state, images, None if self.ageing else rng)

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """As in `Introspection`; AGE's divergence is of no single image."""
    values = super().eval_step(state, batch, rng)
    if not self.ageing:
      return values
    rec = values["reconstruction"]
    kept = {"reconstruction": rec, "mse": values["mse"]}
    return {"vae_loss": self.weight * rec, **kept}

  def _hinge(self, energy: jax.Array) -> jax.Array:
    if self.hinge == "batch_mean" or not energy.ndim:
      return introspective.margin_hinge_of_mean(energy, self.margin)
    return introspective.margin_hinge(energy, self.margin).mean()

  def _active(self, energies: list[jax.Array]) -> jax.Array:
    """Share of hinges that push, `[]`."""
    if self.hinge == "batch_mean":
      energies = [e.mean() for e in energies]
    return jnp.stack([(e < self.margin).mean() for e in energies]).mean()
