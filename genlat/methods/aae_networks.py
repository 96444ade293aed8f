"""The networks of an adversarial autoencoder, run one by one.

What its turns (`aae.py`) and its users share: a network's output with its
averages, draws, codes, images, and the finished model's encode, decode, sample.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from genlat import state as states
from genlat.losses import implicit, information, reconstruction
from genlat.methods import aae_draws
from genlat.methods.aae_config import Game
from genlat.methods.aae_draws import Data
from genlat.methods.method import Batch, Images, Latent
from genlat.nets.discriminators import Judgement
from genlat.state import Metrics, Player, State

# Vectors of captions in `State.frozen`, and how many.
CAPTIONS, BANK = "captions", 1024
# Q, on the image discriminator: of labels, and of noise.
READERS = ("classifier", "noise_reader")
PyTree = Any


@dataclasses.dataclass(frozen=True)
class Networks:
  """Networks, players and game.

  Attributes:
    nets: by name: `encoder`, `decoder`, `code_discriminator`, and as the game
      asks `code_generator`, `image_discriminator`, `classifier`,
      `noise_reader`.
    players: by turn.
    game: what is played for.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it has a prior to sample from.
  """

  nets: Mapping[str, nn.Module]
  players: Mapping[str, Player]
  game: Game
  ema: float
  generative: ClassVar[bool] = True

  @property
  def classes(self) -> int:
    """Number of labels that samples may be asked for by; 0 = none."""
    return self.game.classes

  @property
  def text(self) -> int:
    """Dimensions of the captions' vectors it may be asked by; 0 = none."""
    return self.game.text

  @property
  def labelled(self) -> bool:
    """Whether its labels are those of the data."""
    return self.game.condition == "supervised"

  def frozen(self) -> dict[str, Any]:
    """No weights are read from files."""
    return {}

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0."""
    del batch
    game = self.game
    params: dict[str, PyTree] = {}
    stats: dict[str, PyTree] = {}
    given = jnp.zeros((1, game.told)) if game.told else None
    judged = given if game.judged else None
    seen = given if game.text else None
    image = jnp.zeros((1, *game.image_shape))
    code = jnp.zeros((1, game.latent))
    inputs: dict[str, tuple[Any, ...]] = {
      "encoder": (image,),
      "decoder": (code,),
      "code_discriminator": (code, judged),
      "code_generator": (jnp.zeros((1, game.noise)), given),
      "image_discriminator": (image, seen),
    }
    for i, (name, net) in enumerate(self.nets.items()):
      if name in READERS:
        trunk = jnp.zeros((1, game.trunk))
        inputs[name] = (trunk,)
      key = jax.random.fold_in(rng, i)
      params[name], stats[name] = states.initialise(net, key, *inputs[name])
    state = states.create(params, stats, self.players, ema=self.ema > 0)
    if not game.text:
      return state
    # Captions to draw from where none is asked for; filled by the run.
    bank = jnp.zeros((BANK, game.text))
    return state.replace(frozen={**state.frozen, CAPTIONS: bank})

  def draws(self, batch: Batch, rng: jax.Array) -> Data:
    """What a step draws: `aae_draws.draws` of its game."""
    return aae_draws.draws(self.game, batch, rng)

  def run(
    self,
    now: State,
    params: PyTree,
    name: str,
    *inputs: Any,
    train: bool = True,
  ) -> tuple[Any, PyTree]:
    """A network's output, and its averages after."""
    return states.apply(
      self.nets[name], params[name], now.stats[name], *inputs, train=train
    )

  def prior_codes(
    self,
    now: State,
    params: PyTree,
    data: Data,
    phase: str,
    *,
    train: bool = True,
  ) -> tuple[jax.Array, PyTree]:
    """Codes `[B, d]` of the prior, learned or fixed, and CG's averages."""
    noise = data[f"noise{phase}"]
    given = data.get(f"given{phase}")
    if "code_generator" in self.nets:
      return self.run(now, params, "code_generator", noise, given, train=train)
    if given is None or self.game.prior != "gaussian":
      return noise, {}
    # A fixed prior that is told a label has it for its first dimensions.
    return jnp.concatenate([given, noise], -1), {}

  def posterior_codes(
    self, now: State, params: PyTree, data: Data, *, train: bool = True
  ) -> tuple[jax.Array, PyTree]:
    """Codes `[B, d]` of images, and the encoder's averages."""
    out, stats = self.run(now, params, "encoder", data["image"], train=train)
    if self.game.posterior == "gaussian":
      mean, log_var = jnp.split(out, 2, -1)
      out = mean + jnp.exp(0.5 * log_var) * data["posterior"]
    return out, stats

  def images_in(
    self, now: State, params: PyTree, codes: jax.Array
  ) -> tuple[jax.Array, PyTree]:
    """Images of [-1, 1] of codes in training, and the decoder's averages."""
    raw, stats = self.run(now, params, "decoder", codes)
    return jnp.tanh(raw), stats

  def judge(
    self,
    now: State,
    params: PyTree,
    images: jax.Array,
    given: jax.Array | None,
  ) -> tuple[Judgement, PyTree]:
    """What D_I makes of images as of their captions, and its averages."""
    return self.run(now, params, "image_discriminator", images, given)

  def error(
    self, now: State, params: PyTree, data: Data, copies: jax.Array
  ) -> jax.Array:
    """J_rec of each image, `[B]`: between features of D_I, or pixels."""
    game, images = self.game, data["image"]
    if not game.perceptual:
      return reconstruction.feature_error(images, copies, game.reduction)
    told = self.seen(data, "")  # F does not see it
    seen, _ = self.judge(now, params, images, told)
    made, _ = self.judge(now, params, copies, told)
    return reconstruction.feature_error(
      seen.features, made.features, game.reduction
    )

  def surprise(
    self, now: State, params: PyTree, trunk: jax.Array, data: Data
  ) -> jax.Array:
    """J_MI of labels (equation 7), the cross-entropy of Q, `[]` nats."""
    logits, _ = self.run(now, params, "classifier", trunk)
    return information.categorical(logits, data["label_2"]).mean()

  def noise_surprise(
    self, now: State, params: PyTree, trunk: jax.Array, data: Data
  ) -> jax.Array:
    """J_MI of the noise's first dimensions, `[]` nats.

    After the continuous codes of Chen et al. 2016 (arXiv:1606.03657). Q is a
    Gaussian whose variance is not learned but the noise's own: 1 where the
    noise is measured by its standard deviation.
    """
    mean, _ = self.run(now, params, "noise_reader", trunk)
    codes = data["noise_2"][:, : self.game.read_noise] / self.game.scale
    return information.continuous(mean, jnp.zeros(()), codes).mean()

  def left_out(self, now: State, params: PyTree, data: Data) -> jax.Array:
    """How far codes of images are from the nearest of their draws, `[]`.

    Draws of the prior that are told what the row's image is told; each image
    has its own.
    """
    m = self.game.coverage_draws
    rows = {"noise": data["cover"].reshape(-1, self.game.noise)}
    if "given_2" in data:
      rows["given"] = jnp.repeat(data["given_2"], m, 0)
    draws, _ = self.prior_codes(now, params, rows, "")
    codes, _ = self.posterior_codes(now, params, data)
    draws = draws.reshape(-1, m, draws.shape[-1])
    return implicit.nearest(jax.lax.stop_gradient(codes), draws).mean()

  def judged(self, data: Data) -> jax.Array | None:
    """What D_C is told of codes: labels of the data, or captions."""
    return data["given"] if self.game.judged else None

  def seen(self, data: Data, phase: str) -> jax.Array | None:
    """What D_I is told of images: captions."""
    return data[f"given{phase}"] if self.game.text else None

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """Squared error of reconstructions of mean codes, `[B]`."""
    del rng
    codes = self.encode(state, batch["image"])
    copies = self._decoded(state, codes, train=False)
    error = jnp.square(copies - batch["image"]).mean((1, 2, 3))
    return {"mse": error}

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, d]`; a draw differs for a Gaussian posterior alone."""
    mean = state.averaged
    rows = images.shape[0]
    noise = jnp.zeros((rows, self.game.latent))
    if rng is not None:
      noise = jax.random.normal(rng, noise.shape)
    data = {"image": 2.0 * images - 1.0, "posterior": noise}
    return self.posterior_codes(mean, mean.params, data, train=False)[0]

  def decode(self, state: State, latent: Latent) -> Images:
    """Images of codes `[B, d]`."""
    return self._decoded(state, latent, train=self.game.batch_statistics)

  def _decoded(self, state: State, codes: Latent, *, train: bool) -> Images:
    mean = state.averaged
    raw, _ = self.run(mean, mean.params, "decoder", codes, train=train)
    return 0.5 * jnp.tanh(raw) + 0.5

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """Images of codes of the prior; arguments of `sample_codes`."""
    return self.decode(state, self.sample_codes(state, rng, n, condition))

  def sample_codes(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Latent:
    """Codes `[n, d]` of the prior, learned or fixed.

    Args:
      state: the weights.
      rng: of the draw.
      n: how many.
      condition: labels, int `[n]`, or vectors of captions, `[n, t]`; None
        for uniform labels, or captions of the training data.

    Raises:
      ValueError: for a condition where the game has none.
    """
    game = self.game
    if condition is not None and not game.told:
      raise ValueError("this aae has no labels; got a condition")
    on_noise, on_label = jax.random.split(rng)
    data: Data = {}
    label = aae_draws.uniform(game, on_label, n)
    if game.text:
      bank = state.frozen[CAPTIONS]
      rows = jax.random.randint(on_label, (n,), 0, len(bank))
      data["given"] = bank[rows] if condition is None else condition
    elif game.classes:
      label = label if condition is None else condition.astype(jnp.int32)
      data["given"] = jax.nn.one_hot(label, game.classes)
    data["noise"] = game.draw(on_noise, n, label)
    mean = state.averaged
    return self.prior_codes(
      mean, mean.params, data, "", train=game.batch_statistics
    )[0]

  @property
  def assigning(self) -> bool:
    """Whether there is a classifier Q on the image discriminator."""
    return "classifier" in self.nets

  def assign(self, state: State, images: Images) -> jax.Array:
    """Logits of Q(s|x) of images, `[B, K]`, with averages."""
    mean = state.averaged
    seen, _ = self.run(
      mean,
      mean.params,
      "image_discriminator",
      2.0 * images - 1.0,
      train=False,
    )
    return self.run(mean, mean.params, "classifier", seen.trunk, train=False)[0]
