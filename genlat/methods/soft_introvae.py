"""Soft-IntroVAE: the margin of IntroVAE replaced by the exponential ELBO.

Daniel, Tamar 2021 (arXiv:2012.13253) as in the official code (introvae.md
5.3). With s = 1 / (H W C), ELBO(y) = -s (b_r R(y) + b KL(y)), x_r = G(z),
z ~ q(z|x), and x_f = G(noise), where R of a made image y is the error of
decoding a draw of q(z | sg y) against y:

  L_E = -ELBO(x) + 1/2 sum_y exp(2 ELBO(y)) / 2,   b = b_n for made images
  L_D = s (b_r R(x) + b_k / 2 sum_y KL(E(y)) + g b_r / 2 sum_y R(sg y))

With `bootstrap` the made images are decoded again by a copy of the decoder
that is renewed every so many epochs, and nothing is detached in the last term
of L_D, through which alone the copy acts (official code; g = 1 there).
Departure: the copy is taken at the head of an epoch, the first one included;
the code takes it at the end, and begins with one of random weights.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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
from genlat.methods.introspection_health import ailments
from genlat.methods.method import Batch
from genlat.methods.observation import DENSITIES, ENERGIES
from genlat.state import Metrics, State

PyTree = Any
TARGET = "target_decoder"


@dataclasses.dataclass(frozen=True)
class SoftIntrovae(Introspection):
  """Soft-IntroVAE; attributes beside those of `Introspection`.

  Attributes:
    beta_reconstruction: b_r.
    beta_kl: b_k, of real images, and of made ones in the decoder's turn.
    beta_fake: b_n, of made images in the encoder's turn.
    gamma: g.
    detach_target: whether a made image is a constant in its own R in the
      encoder's turn; in the official code the gradient runs through it.
    bootstrap: steps between copies of the target decoder; 0 = none.
  """

  beta_reconstruction: float
  beta_kl: float
  beta_fake: float
  gamma: float
  detach_target: bool
  bootstrap: int

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "SoftIntrovae":
    """Builds networks and players; raises ValueError for what is no game."""
    block = config.soft_introvae
    for key, value in block.items():
      if value < 0:
        raise ValueError(
          f"config.soft_introvae.{key} must be at least 0; got {value}"
        )
    nets = Autoencoding.from_config(config, image_shape, statistics=2)
    if nets.observation.name in DENSITIES:
      raise ValueError(
        "the exponential needs an energy of at least 0: set"
        f" config.likelihood.name to {', '.join(ENERGIES)}; got"
        f" {nets.observation.name!r}"
      )
    fields = block.to_dict()
    if fields["bootstrap"]:
      epochs = fields["bootstrap"]
      fields["bootstrap"] = max(1, round(epochs * config.epoch_steps))
    return cls(
      nets=nets,
      players=optimizers.players(config, TURNS),
      **shared(config, nets),
      **fields,
    )

  @property
  def scale(self) -> float:
    """s, one over the numbers in an image."""
    return 1.0 / float(np.prod(self.nets.image_shape))

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0, with the copy of the decoder where there is one."""
    state = super().init(rng, batch)
    if not self.bootstrap:
      return state
    copy = jax.tree.map(jnp.copy, state.params["decoder"])
    return state.replace(frozen={**state.frozen, TARGET: copy})

  def plain(self, kl: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """-ELBO of real images, `[B]`."""
    return -self._elbo(reconstruction, kl, self.beta_kl)

  def pretraining(self, kl: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """b_r R + b_k KL, without the scale (official code)."""
    return self.beta_reconstruction * reconstruction + self.beta_kl * kl

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """Renews the copy of the decoder where it is due; then both turns."""
    if self.bootstrap:
      due = state.step % self.bootstrap == 0
      copy = jax.tree.map(
        lambda new, old: jnp.where(due, new, old),
        state.params["decoder"],
        state.frozen[TARGET],
      )
      state = state.replace(frozen={**state.frozen, TARGET: copy})
    return super().train_step(state, batch, rng)

  def constants(self, state: State) -> dict[str, PyTree]:
    """The copy of the decoder, so that it is gathered like all weights."""
    return {TARGET: state.frozen[TARGET]} if self.bootstrap else {}

  def encoder_turn(self, before: State, params: dict[str, PyTree], data: Data):
    """L_E."""
    x, show = data["image"], self.nets.observation.mean
    stats = dict(before.stats)
    mean, log_var, stats["encoder"] = self.encode_in(params, stats, x)
    z = draw(mean, log_var, data["noise"][:, 0])
    fake, stats["decoder"] = self.decode_in(params, stats, data["prior"])
    raw, stats["decoder"] = self.decode_in(params, stats, z)
    rec = self.reconstruction(raw, x, before)
    kl = elbo.kl_standard_normal(mean, log_var)
    losses, kls = [self.plain(kl, rec).mean()], []
    for i, made in enumerate((show(raw), show(fake)), 1):
      seen = lax.stop_gradient(made)
      mean, log_var, stats["encoder"] = self.judge(params, stats, seen)
      code = draw(mean, log_var, data["noise"][:, i])
      again, stats["decoder"] = self._again(params, stats, code)
      wanted = seen if self.detach_target else made
      error = self.reconstruction(again, wanted, before)
      kls.append(elbo.kl_standard_normal(mean, log_var))
      bound = self._elbo(error, kls[-1], self.beta_fake)
      losses.append(0.5 * introspective.exponential_elbo(bound, 2.0).mean())
    loss = sum(losses[1:], losses[0])
    metrics = {
      "loss": loss,
      "reconstruction": rec.mean(),
      "kl_real": kl.mean(),
      "kl_rec": kls[0].mean(),
      "kl_fake": kls[1].mean(),
      "exponential_rec": losses[1],
      "exponential_fake": losses[2],
      "spread": spread(show(fake), x),
      "game": jnp.float32(1.0),
    }
    return loss, (metrics, stats)

  def decoder_turn(self, now: State, params: dict[str, PyTree], data: Data):
    """L_D, through the encoder that has moved."""
    x, show = data["image"], self.nets.observation.mean
    z = self.first_codes(params, now, data)
    stats = dict(now.stats)
    fake, first = self.decode_in(params, stats, data["prior"])
    raw, second = self.decode_in(params, {"decoder": first}, z)
    if self.statistics == "all":
      stats["decoder"] = second
    loss = self.beta_reconstruction * self.reconstruction(raw, x, now).mean()
    for i, made in enumerate((show(raw), show(fake)), 3):
      mean, log_var, stats["encoder"] = self.judge(params, stats, made)
      kl = elbo.kl_standard_normal(mean, log_var).mean()
      loss += 0.5 * self.beta_kl * kl
      code, wanted = draw(mean, log_var, data["noise"][:, i]), made
      if not self.bootstrap:
        code, wanted = lax.stop_gradient((code, made))
      again, stats["decoder"] = self._again(params, stats, code)
      error = self.reconstruction(again, wanted, now).mean()
      loss += 0.5 * self.gamma * self.beta_reconstruction * error
    loss *= self.scale
    return loss, ({"loss_decoder": loss}, stats)

  def health(self, history: Sequence[Mapping[str, float]]) -> list[str]:
    """What is wrong with the game, with the key to change."""
    return ailments(
      history,
      cure="lower config.soft_introvae.beta_fake, to about the dimensions of"
      " the code, or begin with config.introspection.pretrain",
      explosion=max(100.0 * self.nets.latent, 1000.0),
    )

  def _again(
    self, params: PyTree, stats: PyTree, codes: jax.Array
  ) -> tuple[jax.Array, PyTree]:
    """Codes of made images decoded, by the copy where there is one."""
    decoder = {"decoder": params[TARGET if self.bootstrap else "decoder"]}
    raw, moved = self.decode_in(decoder, stats, codes)
    counts = self.statistics == "all" and not self.bootstrap
    return raw, moved if counts else stats["decoder"]

  def _elbo(
    self, reconstruction: jax.Array, kl: jax.Array, beta_kl: float
  ) -> jax.Array:
    return introspective.scaled_elbo(
      reconstruction,
      kl,
      scale=self.scale,
      beta_reconstruction=self.beta_reconstruction,
      beta_kl=beta_kl,
    )
