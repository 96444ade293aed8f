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
from genlat.losses import information, reconstruction
from genlat.methods.aae_config import Game
from genlat.methods.method import Batch, Images, Latent
from genlat.nets.discriminators import Judgement
from genlat.state import Metrics, Player, State

PyTree = Any
Data = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Networks:
  """Networks, players and game.

  Attributes:
    nets: by name: `encoder`, `decoder`, `code_discriminator`, and as the game
      asks `code_generator`, `image_discriminator`, `classifier`.
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
    given = jnp.zeros((1, game.classes)) if game.told else None
    judged = given if game.condition == "supervised" else None
    image = jnp.zeros((1, *game.image_shape))
    code = jnp.zeros((1, game.latent))
    inputs: dict[str, tuple[Any, ...]] = {
      "encoder": (image,),
      "decoder": (code,),
      "code_discriminator": (code, judged),
      "code_generator": (jnp.zeros((1, game.noise)), given),
      "image_discriminator": (image,),
    }
    for i, (name, net) in enumerate(self.nets.items()):
      if name == "classifier":
        trunk = jnp.zeros((1, game.trunk))
        inputs[name] = (trunk,)
      key = jax.random.fold_in(rng, i)
      params[name], stats[name] = states.initialise(net, key, *inputs[name])
    return states.create(params, stats, self.players, ema=self.ema > 0)

  def draws(self, batch: Batch, rng: jax.Array) -> Data:
    """Images of [-1, 1], and noise and conditions of both phases.

    Labels of the data are read by the supervised game alone.

    Raises:
      ValueError: where it needs labels and the batch has none.
    """
    game = self.game
    rows = batch["image"].shape[0]
    keys = jax.random.split(rng, 6)
    data = {"image": 2.0 * batch["image"] - 1.0}
    if game.condition == "supervised":
      if "label" not in batch:
        raise ValueError(
          "the supervised game needs labels: set config.data to a labelled set,"
          " or config.aae.condition to unsupervised or none"
        )
      labels = [batch["label"]] * 2
    else:
      labels = [
        jax.random.randint(key, (rows,), 0, max(game.classes, 1))
        for key in keys[:2]
      ]
    for phase, label, key in zip(("", "_2"), labels, keys[2:4], strict=True):
      data[f"label{phase}"] = label.astype(jnp.int32)
      data[f"noise{phase}"] = game.draw(key, rows, label)
    data["posterior"] = jax.random.normal(keys[4], (rows, game.latent))
    data["mix"] = jax.random.uniform(keys[5], (rows, 3))
    return data

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
    given = self.given(data[f"label{phase}"])
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
    self, now: State, params: PyTree, images: jax.Array
  ) -> tuple[Judgement, PyTree]:
    """What D_I makes of images, and its averages after."""
    return self.run(now, params, "image_discriminator", images)

  def error(
    self, now: State, params: PyTree, images: jax.Array, copies: jax.Array
  ) -> jax.Array:
    """J_rec of each image, `[B]`: between features of D_I, or pixels."""
    game = self.game
    if not game.perceptual:
      return reconstruction.feature_error(images, copies, game.reduction)
    seen, _ = self.judge(now, params, images)
    made, _ = self.judge(now, params, copies)
    return reconstruction.feature_error(
      seen.features, made.features, game.reduction
    )

  def surprise(
    self, now: State, params: PyTree, trunk: jax.Array, data: Data
  ) -> jax.Array:
    """J_MI (equation 7), the cross-entropy of Q, `[]` nats."""
    logits, _ = self.run(now, params, "classifier", trunk)
    return information.categorical(logits, data["label_2"]).mean()

  def given(self, labels: jax.Array) -> jax.Array | None:
    """One-hot labels as CG gets them, or None."""
    if not self.game.told:
      return None
    return jax.nn.one_hot(labels, self.game.classes)

  def judged(self, data: Data) -> jax.Array | None:
    """One-hot labels as D_C gets them: of the supervised game alone."""
    supervised = self.game.condition == "supervised"
    return self.given(data["label"]) if supervised else None

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """Squared error of reconstructions of mean codes, `[B]`."""
    del rng
    codes = self.encode(state, batch["image"])
    copies = self._decoded(state, codes, train=False)
    error = jnp.square(copies - batch["image"]).mean((1, 2, 3))
    return {"loss": error, "mse": error}

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
      condition: labels, int `[n]`; None for uniform ones.

    Raises:
      ValueError: for labels where the game has none.
    """
    game = self.game
    if condition is not None and not game.told:
      raise ValueError("this aae has no labels; got a condition")
    on_noise, on_label = jax.random.split(rng)
    if condition is None:
      classes = max(game.classes, 1)
      condition = jax.random.randint(on_label, (n,), 0, classes)
    data = {
      "label": condition.astype(jnp.int32),
      "noise": game.draw(on_noise, n, condition),
    }
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
