"""Adversarial autoencoders, with a prior of codes that is learned.

Wang, Peng, Ko 2019 (arXiv:1909.04443), algorithm 1 as resolved in aae.md 3.
Without the switches it is the paper's baseline, an autoencoder like Makhzani et
al.'s (arXiv:1511.05644), in this order of turns and with these networks.
A code generator CG makes the prior's codes of noise, trained so that the
decoder's images of them fool an image discriminator D_I, whose last
convolution F also measures reconstructions. Five turns a step, two phases:

  autoencoder  code discriminator   J_DC  of real CG(z), made enc(x)
               encoder              J_adv + J_rec
               decoder              lambda J_rec
  prior        image discriminator  J_DI  of real x, made dec(CG(z')) and
                                    dec(enc(x)), with the classifier's J_MI
               generator            J_G + J_MI, through CG and decoder

Each turn sees the moves before it; with `simultaneous` the turns of a phase
start from the same weights, as the paper prints them. The decoder has one
optimiser memory for both of its turns: with two, Adam would cancel lambda.

With captions (aae.md 8) CG, D_C and D_I are told a vector of the caption of the
row's image; which networks the paper tells beside CG and D_I is not stated.

Normalisation by batches: all turns use the statistics of the batch; averages of
a network move in its own turns only, and D_I's with the real images alone,
wrong captions included.

With `real_labels` Q also learns the labels of real images, as the classifier of
Odena et al. 2017 (AC-GAN, arXiv:1610.09585) does; the paper's sees made ones
alone, and leaves it to D_C to bind labels to what the data mean by them.

No judge compares images of one caption, and a code generator can give it but
one. Two things not in the paper are against that. With `coverage` CG is pulled
to the codes of images that its draws leave out, each by the nearest of several
draws of what its row is told. With `read_noise` Q reads the first dimensions
of the noise in made images, as InfoGAN's reads its continuous codes.

Departures: the printed signs would train a discriminator to fail; the signs
are those of Goodfellow et al. The listing never updates CG; the text does. The
listing's norm is not squared; equation 6 is, and squares are followed, but as
their mean: the paper's is w = 1 on the sum. Equations 4 and 5 saturate; the
default does not.
"""

from typing import Any

import jax
import jax.numpy as jnp

from genlat.losses import adversarial, information
from genlat.methods.aae_config import make
from genlat.methods.aae_draws import Data
from genlat.methods.aae_networks import Networks, PyTree
from genlat.methods.method import Batch
from genlat.nets.discriminators import Judgement
from genlat.state import Metrics, State, advance, descend


class Aae(Networks):
  """An adversarial autoencoder: the turns of algorithm 1."""

  @classmethod
  def from_config(cls, config: Any, image_shape: tuple[int, int, int]) -> "Aae":
    """Builds networks and players; raises ValueError for what is no game."""
    return cls(**make(config, image_shape), ema=config.ema)

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """Algorithm 1: the phase of the autoencoder, then that of the prior."""
    data = self.draws(batch, rng)
    metrics: Metrics = {}
    start = state
    for who in self.players:
      if who == "image_discriminator":
        start = state  # of the second phase
      others = start.params if self.game.simultaneous else None
      now = state
      turn = getattr(self, f"{who}_turn")

      def loss(params: PyTree, part: Data, turn: Any = turn, now: State = now):
        return turn(now, params, part)

      state, got = descend(state, self.players, who, loss, data, others=others)
      metrics |= got
    return advance(state, self.ema), metrics | self.in_nats(metrics, data)

  def in_nats(self, metrics: Metrics, data: Data) -> Metrics:
    """What J_MI says, `[]`, nats: the bound on I(s; x) and its ceiling H(s).

    Of labels of the data H(s) is that of the batch, whole however it is cut.
    """
    if "surprise" not in metrics:
      return {}
    classes = self.game.classes
    if self.game.condition == "supervised":
      ceiling = information.label_entropy(data["label_2"], classes)
    else:
      ceiling = jnp.float32(information.uniform_entropy(classes))
    bound = information.bound(metrics["surprise"], ceiling)
    return {"information": bound, "information_ceiling": ceiling}

  def code_discriminator_turn(self, now: State, params: PyTree, data: Data):
    """J_DC (equation 5; 8 where labels are told)."""
    game, judged = self.game, self.judged(data)
    real, _ = self.prior_codes(now, params, data, "")
    made, _ = self.posterior_codes(now, params, data)

    def critic(code: jax.Array) -> jax.Array:
      return self.run(now, params, "code_discriminator", code, judged)[0]

    loss = (
      adversarial.of_real(critic(real), game.code_loss).mean()
      + adversarial.of_made(critic(made), game.code_loss).mean()
    )
    metrics = {"code_discriminator": loss}
    if game.penalty and game.code_loss == "wasserstein":
      slope = adversarial.gradient_penalty(
        critic, real, made, data["mix"][:, 0]
      )
      loss += game.penalty * slope.mean()
    return loss, (metrics, {})

  def encoder_turn(self, now: State, params: PyTree, data: Data):
    """J_adv + w J_rec: the encoder fools D_C and keeps what F sees.

    The paper has no w, and leaves the balance to the norm of J_rec.
    """
    made, stats = self.posterior_codes(now, params, data)
    logits, _ = self.run(
      now, params, "code_discriminator", made, self.judged(data)
    )
    fooled = adversarial.of_generator(logits, self.game.code_loss).mean()
    image, _ = self.images_in(now, params, made)
    error = self.error(now, params, data, image).mean()
    metrics = {"loss": error, "code_adversarial": fooled}
    loss = fooled + self.game.encoder_reconstruction * error
    return loss, (metrics, {"encoder": stats})

  def decoder_turn(self, now: State, params: PyTree, data: Data):
    """Lambda J_rec (equation 6)."""
    made, _ = self.posterior_codes(now, params, data)
    image, stats = self.images_in(now, params, made)
    error = self.error(now, params, data, image).mean()
    square = jnp.square(0.5 * (image - data["image"])).mean()
    loss = self.game.reconstruction * error
    return loss, ({"mse": square}, {"decoder": stats})

  def image_discriminator_turn(self, now: State, params: PyTree, data: Data):
    """J_DI of three kinds of images, and J_MI of the classifier."""
    game = self.game
    made, _ = self.prior_codes(now, params, data, "_2")
    noise, _ = self.images_in(now, params, made)
    codes, _ = self.posterior_codes(now, params, data)
    copy, _ = self.images_in(now, params, codes)
    told = self.seen(data, "_2")
    real, stats, mismatched = self.judge_real(now, params, data)
    fake, _ = self.judge(now, params, noise, told)
    again, _ = self.judge(now, params, copy, told)
    kind = game.image_loss
    # A critic without bound would drift if fakes outweighed the real images.
    weight = 0.5 if kind == "wasserstein" else 1.0
    loss = adversarial.of_real(real.logits, kind).mean()
    for judgement in (fake, again):
      loss += weight * adversarial.of_made(judgement.logits, kind).mean()
    if game.mismatch:
      loss += game.mismatch * mismatched
    metrics = {"image_discriminator": loss}
    critic = lambda x: self.judge(now, params, x, told)[0].logits
    if game.penalty and kind == "wasserstein":
      for i, image in enumerate((noise, copy), 1):
        slope = adversarial.gradient_penalty(
          critic, data["image"], image, data["mix"][:, i]
        )
        loss += weight * game.penalty * slope.mean()
    if game.real_penalty:
      slope = adversarial.real_penalty(critic, data["image"]).mean()
      metrics["real_penalty"] = slope
      loss += game.real_penalty * slope
    shared = (
      (lambda trunk: trunk) if game.informs_trunk else jax.lax.stop_gradient
    )
    if game.informed:
      surprise = self.surprise(now, params, shared(fake.trunk), data)
      loss += game.information * surprise
      if game.real_labels:
        wrong = self.surprise(now, params, shared(real.trunk), data)
        metrics["real_labels"] = wrong
        loss += game.real_labels * wrong
    if game.read_noise:
      surprise = self.noise_surprise(now, params, shared(fake.trunk), data)
      loss += game.information * surprise
    return loss, (metrics, {"image_discriminator": stats})

  def judge_real(
    self, now: State, params: PyTree, data: Data
  ) -> tuple[Judgement, PyTree, jax.Array]:
    """Real images as of their captions, and as of others: Reed et al. 2016.

    After arXiv:1605.05396, algorithm 1, with the most similar captions of the
    batch. Right and wrong pairs are one batch to the normalisation: by two it
    would tell the batches apart, by what all rows of one have in common, and
    no row had to match its caption.

    Returns:
      What D_I makes of the right pairs, its averages, and the loss of the wrong
      ones, `[]`: that of made images, without what is no other caption.
    """
    told, image = self.seen(data, "_2"), data["image"]
    if not self.game.mismatch:
      return *self.judge(now, params, image, told), jnp.zeros(())
    assert told is not None  # `mismatch` is of captions
    own, other = told[:, None], data["other_2"]
    given = jnp.concatenate([own, other], 1).reshape(-1, told.shape[-1])
    both, stats = self.judge(now, params, image, given)
    logits = both.logits.reshape(len(told), -1)
    wrong = adversarial.of_made(logits[:, 1:].ravel(), self.game.image_loss)
    differs = (own != other).any(-1).astype(jnp.float32).ravel()
    loss = (differs * wrong).sum() / jnp.maximum(differs.sum(), 1.0)
    return both._replace(logits=logits[:, 0]), stats, loss

  def generator_turn(self, now: State, params: PyTree, data: Data):
    """J_G + J_MI: CG and decoder fool D_I and stay told apart by Q."""
    game, moved = self.game, {}
    made, code_stats = self.prior_codes(now, params, data, "_2")
    image, stats = self.images_in(now, params, made)
    told = self.seen(data, "_2")
    fake, _ = self.judge(now, params, image, told)
    fooled = adversarial.of_generator(fake.logits, game.image_loss).mean()
    metrics = {"image_adversarial": fooled}
    loss = fooled
    nets = self.players["generator"].nets
    if "code_generator" in nets:
      moved["code_generator"] = code_stats
    if "decoder" in nets:
      moved["decoder"] = stats
      if game.fools_by_copies:
        codes, _ = self.posterior_codes(now, params, data)
        copy, _ = self.images_in(now, params, codes)
        again, _ = self.judge(now, params, copy, told)
        kind = game.image_loss
        loss += adversarial.of_generator(again.logits, kind).mean()
    if game.informed:
      surprise = self.surprise(now, params, fake.trunk, data)
      metrics["surprise"] = surprise
      loss += game.information * surprise
    if game.read_noise:
      surprise = self.noise_surprise(now, params, fake.trunk, data)
      entropy = information.normal_entropy(game.read_noise)
      metrics["noise_information"] = information.bound(surprise, entropy)
      loss += game.information * surprise
    if game.coverage:
      left_out = self.left_out(now, params, data)
      metrics["left_out"] = left_out
      loss += game.coverage * left_out
    return loss, (metrics, moved)
