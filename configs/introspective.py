"""What the configurations of IntroVAE and Soft-IntroVAE share.

Presets: `paper` (the default), `official` (introvae.md 1.3: hinge of the
batch's mean, all of the squared error, twice the decoder's weight, all passes
move the averages), `vae` (a plain VAE of the same networks and weights).
"""

from ml_collections import ConfigDict

from configs import base


def residual(
  config: ConfigDict, channels: tuple[int, ...], latent: int
) -> None:
  """The networks and the optimiser of the official code."""
  config.model.architecture = "residual"
  config.model.channels = channels
  config.model.latent = latent
  config.likelihood.activation = "none"
  config.optimizer.lr = 2e-4


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


def finish(config: ConfigDict, words: str) -> ConfigDict:
  """Applies presets and locks."""
  presets = {"vae": vae}
  if config.method == "introvae":
    presets |= {"paper": paper, "official": official}
  return base.preset(config, words, presets).lock()


def paper(config: ConfigDict) -> None:
  """Equations 5 to 12 as printed; the default."""
  config.introvae.hinge = "per_sample"
  config.introvae.half = True
  config.introvae.plain_pretrain = False
  config.introvae.alpha_encoder = 0.25
  config.introvae.alpha_decoder = 0.25


def official(config: ConfigDict) -> None:
  """The official code with w_neg 0.5 and w_kl 1 (introvae.md 1.3, 1.4)."""
  config.introvae.hinge = "batch_mean"
  config.introvae.half = False
  config.introvae.plain_pretrain = True
  config.introvae.alpha_encoder = 0.25
  config.introvae.alpha_decoder = 0.5
  config.introspection.statistics = "all"


def vae(config: ConfigDict) -> None:
  """A plain VAE of the same networks, weights and budget."""
  if config.method == "introvae":
    half = 0.5 if config.introvae.half else 1.0
    config.vae.reconstruction = config.introvae.beta * half
  else:
    config.vae.reconstruction = config.soft_introvae.beta_reconstruction
    config.vae.beta = config.soft_introvae.beta_kl
  config.method = "vae"
