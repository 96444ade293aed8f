"""What an adversarial autoencoder plays for, read from the configuration."""

import dataclasses
from typing import Any

import jax
from flax import linen as nn
from ml_collections import ConfigDict

from genlat import distributions, optimizers
from genlat.methods import aae_rules
from genlat.methods.autoencoding import DTYPES
from genlat.nets import discriminators, pooled

# Turns that not every game has; a configuration has a block for each.
SECOND_PHASE = ("image_discriminator", "generator")


@dataclasses.dataclass(frozen=True)
class Game:
  """The hyper-parameters of an adversarial autoencoder.

  Attributes:
    image_shape: H, W, C.
    latent: d, dimensions of a code.
    noise: dimensions of the noise beside a label.
    trunk: units that D_I shares with the classifier.
    classes: K, number of labels; 0 without any.
    text: t, dimensions of a caption's vector; 0 without captions.
    condition: 'none', 'supervised' (labels of the data to CG, D_C and Q),
      'unsupervised' (random labels to CG and Q; D_C sees none) or 'text'
      (captions of the data to CG, D_C and D_I).
    prior: of codes where it is not learned: 'gaussian' (beside a one-hot label
      where there is a condition), 'ring' (a mixture) or 'swiss_roll'.
    scale: standard deviation of the noise.
    posterior: 'deterministic', or 'gaussian' (a draw, reparameterised).
    perceptual: switch B: whether F, not pixels, measures reconstructions.
    code_loss: kind of D_C's adversarial loss.
    image_loss: kind of D_I's.
    penalty: weight of the gradient penalty ('wasserstein').
    real_penalty: gamma, weight of D_I's squared slope at real images (R1).
    information: weight of J_MI.
    real_labels: weight of Q's cross-entropy of real images.
    informed: whether there is a classifier Q of labels.
    read_noise: how many dimensions of the noise Q reads, too.
    informs_trunk: whether J_MI moves what Q shares with D_I.
    reconstruction: lambda, weight of the decoder's J_rec.
    encoder_reconstruction: w, of the encoder's.
    reduction: of squared differences, of features or pixels: 'mean' or 'sum'.
    fools_by_copies: whether reconstructions also have to fool D_I.
    code_captions: whether captions are told to D_C, too.
    mismatch: weight of real images with the captions of others.
    wrong_captions: how many of these an image has.
    likest_captions: the most similar to its own, or any.
    coverage: weight of the codes that the prior's draws leave out.
    coverage_draws: m, draws of the prior beside each image's code.
    simultaneous: whether turns of a phase start from the same weights.
    batch_statistics: whether samples are normalised by their own batch.
  """

  image_shape: tuple[int, int, int]
  latent: int
  noise: int
  trunk: int
  classes: int
  text: int
  condition: str
  prior: str
  scale: float
  posterior: str
  perceptual: bool
  code_loss: str
  image_loss: str
  penalty: float
  real_penalty: float
  information: float
  real_labels: float
  informed: bool
  read_noise: int
  informs_trunk: bool
  reconstruction: float
  encoder_reconstruction: float
  reduction: str
  fools_by_copies: bool
  code_captions: bool
  mismatch: float
  wrong_captions: int
  likest_captions: bool
  coverage: float
  coverage_draws: int
  simultaneous: bool
  batch_statistics: bool

  @property
  def told(self) -> int:
    """Dimensions of what codes are made of beside noise; 0 for nothing."""
    return self.text or self.classes

  @property
  def judged(self) -> bool:
    """Whether D_C is told them, too."""
    if self.condition == "text":
      return self.code_captions
    return self.condition == "supervised"

  def draw(self, rng: jax.Array, rows: int, labels: jax.Array) -> jax.Array:
    """Noise of CG, or codes of a fixed prior without their label."""
    if self.prior == "ring":
      own = labels if self.classes else None
      return distributions.ring_sample(rng, rows, self.noise, own)
    if self.prior == "swiss_roll":
      return distributions.swiss_roll_sample(rng, rows, self.noise)
    return self.scale * jax.random.normal(rng, (rows, self.noise))


def make(
  config: ConfigDict, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
  """Networks, players and game of a configuration, by name.

  Raises:
    ValueError: for values that make no game.
  """
  aae_rules.check(config)
  block = config.aae
  game = _game(config, image_shape)
  nets = _networks(config, game)
  turns: dict[str, tuple[str, ...]] = {
    "code_discriminator": ("code_discriminator",),
    "encoder": ("encoder",),
    "decoder": ("decoder",),
  }
  if "image_discriminator" in nets:
    seeing = ("image_discriminator", "classifier", "noise_reader")
    turns["image_discriminator"] = tuple(n for n in seeing if n in nets)
    makers = ("code_generator",) if block.learned_prior else ()
    makers += ("decoder",) if block.decoder_in_both else ()
    if makers:
      turns["generator"] = makers
  twice = "decoder" in turns.get("generator", ())
  memories = {"generator": "decoder"} if twice else {}
  players = optimizers.players(
    config, turns, memories=memories, idle=SECOND_PHASE
  )
  return {"nets": nets, "players": players, "game": game}


def _game(config: ConfigDict, image_shape: tuple[int, int, int]) -> Game:
  block, latent = config.aae, config.model.latent
  labels = block.condition in ("supervised", "unsupervised")
  classes = block.classes if labels else 0
  text = config.text.size if block.condition == "text" else 0
  noise = block.noise or latent - classes
  if not block.learned_prior:
    # The label stands beside Gaussian noise; it picks the ring's component.
    noise = latent - (classes if block.prior == "gaussian" else 0)
  if noise < 1:
    raise ValueError(
      f"config.model.latent = {latent} leaves no noise beside {classes}"
      " classes: raise it, or set config.aae.noise"
    )
  if block.read_noise > noise:
    raise ValueError(
      f"config.aae.read_noise = {block.read_noise} is more than the {noise}"
      " dimensions of the noise"
    )
  keys = (
    *("condition", "prior", "scale", "posterior", "perceptual", "code_loss"),
    *("image_loss", "penalty", "real_penalty", "information"),
    *("real_labels", "read_noise", "informs_trunk"),
    *("reconstruction", "encoder_reconstruction", "reduction"),
    *("fools_by_copies", "coverage", "coverage_draws", "simultaneous"),
    *("mismatch", "wrong_captions", "likest_captions", "code_captions"),
  )
  fields: dict[str, Any] = {key: block[key] for key in keys}
  if block.learned_prior:
    fields["prior"] = "gaussian"
  return Game(
    image_shape=image_shape,
    latent=latent,
    noise=noise,
    trunk=block.trunk,
    classes=classes,
    text=text,
    informed=labels and block.information > 0 and aae_rules.sees_images(block),
    batch_statistics=config.evaluation.batch_statistics,
    **fields,
  )


def _networks(config: ConfigDict, game: Game) -> dict[str, nn.Module]:
  """All networks that the game asks for."""
  block, model = config.aae, config.model
  channels = tuple(model.channels)
  pooled.check_side(game.image_shape, channels)
  dtype = DTYPES[model.dtype]
  shared: dict[str, Any] = {
    "channels": channels,
    "normalisation": model.normalisation,
    "dtype": dtype,
    "remat": model.remat,
  }
  draws = 2 if game.posterior == "gaussian" else 1
  nets: dict[str, nn.Module] = {
    "encoder": pooled.Encoder(
      outputs=draws * game.latent,
      hidden=2 * game.latent,
      stem_stride=block.stem_stride,
      **shared,
    ),
    "decoder": pooled.Decoder(image_shape=game.image_shape, **shared),
    "code_discriminator": discriminators.CodeDiscriminator(
      hidden=tuple(block.code_hidden),
      conditional=game.judged,
      dtype=dtype,
    ),
  }
  if block.learned_prior:
    nets["code_generator"] = discriminators.CodeGenerator(
      outputs=game.latent, normalisation=model.normalisation, dtype=dtype
    )
  if aae_rules.sees_images(block):
    side, halvings = game.image_shape[0], len(block.image_channels)
    if side % 2**halvings:
      raise ValueError(
        f"config.aae.image_channels halves images of {side} pixels {halvings}"
        " times: give fewer widths"
      )
    nets["image_discriminator"] = discriminators.ImageDiscriminator(
      channels=tuple(block.image_channels),
      hidden=block.trunk,
      normalisation=block.image_normalisation or model.normalisation,
      dtype=dtype,
      text=block.text_hidden if game.text else 0,
    )
    if game.informed:
      nets["classifier"] = discriminators.Head(outputs=game.classes)
    if game.read_noise:
      nets["noise_reader"] = discriminators.Head(outputs=game.read_noise)
  return nets
