"""What the configurations of IntroVAE and Soft-IntroVAE share.

Presets: `paper` (the default), `official` (introvae.md 1.3: hinge of the
batch's mean, all of the squared error, twice the decoder's weight, all passes
move the averages; with the numbers of the script where there is one), `vae` (a
plain VAE of the same networks and weights; name it last), and for
Soft-IntroVAE `bootstrap` (a target decoder renewed each epoch, gamma 1).
"""

import functools

from ml_collections import ConfigDict

from configs import base

LARGE = 256  # pixels from which 250 images at once are too many


def residual(
  config: ConfigDict, channels: tuple[int, ...], latent: int
) -> None:
  """The networks and the optimiser of the official code."""
  config.model.architecture = "residual"
  config.model.channels = channels
  config.model.latent = latent
  config.likelihood.activation = "none"
  config.optimizer.lr = 2e-4
  config.evaluation.metrics += ("diversity",)


def introvae(
  channels: tuple[int, ...],
  latent: int,
  *,
  margin: float,
  beta: float,
  batch_size: int,
) -> ConfigDict:
  """IntroVAE in the paper's form: alpha 1/4, half the squared error."""
  config = base.base()
  config.method = "introvae"
  residual(config, channels, latent)
  config.batch_size = batch_size
  config.introvae.margin = margin
  config.introvae.beta = beta
  return config


def soft_introvae(
  channels: tuple[int, ...],
  latent: int,
  *,
  beta_fake: float,
  batch_size: int,
) -> ConfigDict:
  """Soft-IntroVAE with the official code's rates."""
  config = base.base()
  config.method = "soft_introvae"
  residual(config, channels, latent)
  config.model.placement = "branch"
  config.batch_size = batch_size
  config.soft_introvae.beta_fake = beta_fake
  config.optimizer.schedule = "step"
  config.optimizer.decay_every = 350.0
  config.optimizer.decay_factor = 0.1
  return config


def finish(config: ConfigDict, words: str, **script: float | int) -> ConfigDict:
  """Applies presets and locks.

  Args:
    config: an experiment.
    words: names of presets.
    **script: what the official script has otherwise, by the last word of the
      key: `margin`, `beta`, `alpha_encoder`, `batch_size`, `pretrain`.
  """
  # `vae` takes its weights from what stands before it.
  named = [word for word in words.split(",") if word != "smoke"]
  if "vae" in named[:-1]:
    raise ValueError(f"presets {words!r}: name vae after the others")
  if {"paper", "official"} <= set(named):
    raise ValueError(f"presets {words!r}: name paper or official, not both")
  presets = {"vae": vae}
  if config.method == "introvae":
    own = functools.partial(official, **script)
    presets |= {"paper": paper, "official": own}
  else:
    presets |= {"bootstrap": bootstrap}
  if config.data.image_size >= LARGE:
    config.evaluation.batch_size = 50
  return base.preset(config, words, presets).lock()


def paper(config: ConfigDict) -> None:
  """Equations 5 to 12, with the sign of 9 that 11 and 12 need; the default."""
  config.introvae.hinge = "per_sample"
  config.introvae.half = True
  config.introvae.plain_pretrain = False
  config.introvae.alpha_encoder = 0.25
  config.introvae.alpha_decoder = 0.25


def official(
  config: ConfigDict,
  *,
  margin: float = 0.0,
  beta: float = 0.0,
  alpha_encoder: float = 0.25,
  batch_size: int = 0,
  pretrain: float = 0.0,
) -> None:
  """The official code with w_kl 1 (introvae.md 1.3, 1.4); 0 = as it is."""
  config.introvae.hinge = "batch_mean"
  config.introvae.half = False
  config.introvae.plain_pretrain = True
  config.introvae.alpha_encoder = alpha_encoder
  config.introvae.alpha_decoder = 0.5
  config.introvae.margin = margin or config.introvae.margin
  config.introvae.beta = beta or config.introvae.beta
  config.batch_size = batch_size or config.batch_size
  config.introspection.pretrain = pretrain
  config.introspection.statistics = "all"


def bootstrap(config: ConfigDict) -> None:
  """Soft-IntroVAE's target decoder, as its code has it."""
  config.soft_introvae.bootstrap = 1.0
  config.soft_introvae.gamma = 1.0


def vae(config: ConfigDict) -> None:
  """A plain VAE of the same networks, weights and budget."""
  if config.method == "introvae":
    half = 0.5 if config.introvae.half else 1.0
    config.vae.reconstruction = config.introvae.beta * half
  else:
    config.vae.reconstruction = config.soft_introvae.beta_reconstruction
    config.vae.beta = config.soft_introvae.beta_kl
  config.method = "vae"
