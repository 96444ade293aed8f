"""Which words and numbers of a configuration make an adversarial game."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from genlat.losses import adversarial
from genlat.methods.autoencoding import DTYPES

CONDITIONS = ("none", "supervised", "unsupervised", "text")
POSTERIORS = ("deterministic", "gaussian")
PRIORS = ("gaussian", "ring", "swiss_roll")
REDUCTIONS = ("mean", "sum")

WORDS = {
  "aae.condition": CONDITIONS,
  "aae.prior": PRIORS,
  "aae.posterior": POSTERIORS,
  "aae.code_loss": adversarial.KINDS,
  "aae.image_loss": adversarial.KINDS,
  "aae.reduction": REDUCTIONS,
  "aae.stem_stride": (1, 2),
  "aae.image_normalisation": ("", "batch", "group", "none"),
  "model.architecture": ("conv",),
  "model.dtype": tuple(DTYPES),
  "model.normalisation": ("batch", "none"),
}
LEAST = {
  "aae.scale": 0,
  "aae.penalty": 0,
  "aae.information": 0,
  "aae.reconstruction": 0,
  "aae.encoder_reconstruction": 0,
  "aae.real_labels": 0,
  "aae.read_noise": 0,
  "aae.coverage": 0,
  "aae.coverage_draws": 1,
  "aae.real_penalty": 0,
  "aae.noise": 0,
  "aae.classes": 2,
  "aae.trunk": 1,
  "aae.mismatch": 0,
  "aae.text_hidden": 1,
  "aae.wrong_captions": 1,
}


def check(config: ConfigDict) -> None:
  """Raises ValueError for words and numbers that make no game."""
  block, model = config.aae, config.model
  for key, known in WORDS.items():
    if (got := _value(config, key)) not in known:
      raise ValueError(
        f"config.{key} must be one of {', '.join(map(str, known))}; got {got!r}"
      )
  for key, low in LEAST.items():
    if (got := _value(config, key)) < low:
      raise ValueError(f"config.{key} must be at least {low}; got {got}")
  for faults in (_captions, _priors, _critics, _labels):
    for wrong, line in faults(config):
      if wrong:
        raise ValueError(line)
  if model.latent < 1:
    raise ValueError(
      f"config.model.latent must be at least 1; got {model.latent}"
    )
  for key in ("code_hidden", "image_channels"):
    if not block[key] or min(block[key]) < 1:
      raise ValueError(
        f"config.aae.{key} must be numbers of at least 1; got {block[key]}"
      )


def sees_images(block: ConfigDict) -> bool:
  """Whether a switch of `config.aae` asks for an image discriminator."""
  return block.learned_prior or block.perceptual or block.decoder_in_both


def _value(config: ConfigDict, key: str):
  part, name = key.split(".")
  return config[part][name]


Faults = Iterator[tuple[bool, str]]  # whether it is there, and what to say


def _priors(config: ConfigDict) -> Faults:
  block, latent = config.aae, config.model.latent
  told = block.condition != "none"
  yield (
    block.learned_prior and block.prior != "gaussian",
    "config.aae.prior is of codes that are not learned: set"
    " config.aae.learned_prior to False",
  )
  yield (
    not block.learned_prior and block.noise > 0,
    "config.aae.noise is of a learned prior: set it to 0",
  )
  yield (
    told and block.prior == "swiss_roll",
    "a Swiss roll knows no labels: set config.aae.condition to none",
  )
  yield (
    told and block.prior == "ring" and block.classes > 10,
    f"the ring has 10 components for {block.classes} classes",
  )
  yield (
    block.prior != "gaussian" and latent % 2,
    f"config.model.latent must be even for {block.prior}; got {latent}",
  )
  yield (
    block.coverage > 0 and not block.learned_prior,
    "config.aae.coverage is of a learned prior: set it to 0, or"
    " config.aae.learned_prior to True",
  )
  yield (
    block.coverage > 0 and block.condition == "unsupervised",
    "config.aae.coverage is of draws that are told what an image is told, and"
    " random labels are of none: set it to 0, or config.aae.condition to"
    " another",
  )
  yield block.scale == 0, "config.aae.scale must be above 0; got 0"
  yield (
    block.prior != "gaussian" and block.scale != 1.0,
    f"config.aae.scale is of Gaussian noise: set it to 1 for {block.prior}",
  )


def _critics(config: ConfigDict) -> Faults:
  block = config.aae
  seen = sees_images(block)
  critic = seen and block.image_loss == "wasserstein"
  normalisation = block.image_normalisation or config.model.normalisation
  by_batch = normalisation == "batch"
  yield (
    critic and by_batch,
    "a Wasserstein critic's penalty is of each image alone: set"
    " config.aae.image_normalisation to group or none",
  )
  yield (
    not seen
    and (block.image_loss != "non_saturating" or block.image_normalisation),
    "config.aae.image_loss and config.aae.image_normalisation are of an image"
    " discriminator: set one of the switches (aae.learned_prior,"
    " aae.perceptual, aae.decoder_in_both) to True, or image_loss to"
    " non_saturating and image_normalisation to ''",
  )
  yield (
    block.penalty == 0 and (critic or block.code_loss == "wasserstein"),
    "a Wasserstein critic has no bound without config.aae.penalty: it is 0",
  )
  yield (
    block.real_penalty > 0 and (by_batch or not seen),
    "config.aae.real_penalty is of an image discriminator that sees each"
    " image alone: set config.aae.image_normalisation to group or none and"
    " one of the switches to True, or config.aae.real_penalty to 0",
  )


def _labels(config: ConfigDict) -> Faults:
  block = config.aae
  taught = block.condition == "supervised" and block.information > 0
  answered = block.learned_prior or block.decoder_in_both
  yield (
    block.read_noise > 0 and not (answered and block.information > 0),
    "config.aae.read_noise is of images that are made to be read: set"
    " config.aae.information above 0, and aae.learned_prior or"
    " aae.decoder_in_both to True, or config.aae.read_noise to 0",
  )
  yield (
    block.read_noise > 0 and block.prior != "gaussian",
    "config.aae.read_noise is of Gaussian noise: set config.aae.prior to"
    " gaussian, or config.aae.read_noise to 0",
  )
  yield (
    block.real_labels > 0 and not (taught and sees_images(block)),
    "config.aae.real_labels is of the classifier of a supervised game: set"
    " it to 0, or config.aae.condition to supervised,"
    " config.aae.information above 0, and one of the switches"
    " (aae.learned_prior, aae.perceptual, aae.decoder_in_both) to True",
  )


def _captions(config: ConfigDict) -> Faults:
  block, size = config.aae, config.text.size
  text = block.condition == "text"
  yield (
    text and not block.learned_prior,
    "captions need a learned prior: set config.aae.learned_prior to True",
  )
  yield (
    text and size < 1,
    f"config.text.size must be at least 1; got {size}",
  )
  yield (
    block.mismatch > 0 and block.image_loss == "wasserstein",
    "with mismatched captions a Wasserstein critic has no bound: set"
    " config.aae.mismatch to 0, or another config.aae.image_loss",
  )
  yield (
    block.mismatch > 0 and not text,
    "config.aae.mismatch is of captions: set config.aae.condition to text",
  )
  yield (
    not block.code_captions and not text,
    "config.aae.code_captions is of captions: set it to True, or"
    " config.aae.condition to text",
  )
