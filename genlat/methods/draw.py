"""DRAW: a recurrent variational autoencoder that paints on a canvas.

Gregor et al. 2015 (arXiv:1502.04623). The loss, in nats an image where the
observation model is a density (equations 9 to 12):

  L = E_z[ -log D(x | c_T) ] + w sum_t w_t KL(q(z_t | x, z_<t) || N(0, I))

with one draw of z, a closed KL a step, and w = w_t = 1 in the paper. Equation
11 prints the constant of the KL as T / 2; it is T d / 2. Intensities of colour
images are taken as Bernoulli means in the paper: no bound then, as nothing
that genlat reports in nats for them.

As `conv_draw`, convolutional networks stand behind reading and before writing
(`nets.draw_convolutions`). As `conv_draw_b`, LSTMs are convolutional and
p(z_t | z_<t) is learned (`nets.conv_draw`); the KL is to that.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from genlat import distributions, optimizers
from genlat import state as states
from genlat.losses import elbo
from genlat.methods import draw_config
from genlat.methods.method import Batch, Images, Latent, unconditional
from genlat.methods.observation import Observation
from genlat.nets.conv_draw import ConvDraw
from genlat.nets.draw import Draw as Network
from genlat.nets.draw import Film, Steps
from genlat.state import Metrics, Player, State, advance, descend

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Draw:
  """DRAW.

  Attributes:
    net: encoder and decoder.
    observation: likelihood of images given the canvas.
    players: `draw`.
    weights: w w_t, of the KL of each step.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it has a prior to sample from.
  """

  net: Network | ConvDraw
  observation: Observation
  players: Mapping[str, Player]
  weights: tuple[float, ...]
  ema: float
  generative: ClassVar[bool] = True

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "Draw":
    """Builds the network; raises ValueError for impossible values."""
    draw_config.check(config)
    block = config.draw
    observation = Observation.from_config(config, min(image_shape[:2]))
    own = ("scale",) if observation.learned_scale else ()
    each = tuple(block.kl_weights) or (1.0,) * block.steps
    return cls(
      net=draw_config.network(config, image_shape),
      observation=observation,
      players=optimizers.players(
        config,
        {"draw": ("draw", *own)},
        dense=("draw",) if config.method == "draw" else (),
      ),
      weights=tuple(block.kl_weight * w for w in each),
      ema=config.ema,
    )

  def frozen(self) -> dict[str, Any]:
    """No weights are read from files."""
    return {}

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0."""
    del batch
    params, frozen = self.observation.init()
    image = jnp.zeros((1, *self.net.image_shape))
    noise = jnp.zeros((1, self.net.steps, *self.net.code_shape))
    params["draw"], stats = states.initialise(self.net, rng, image, noise)
    return states.create(
      params,
      {"draw": stats},
      self.players,
      ema=self.ema > 0,
      frozen=frozen,
    )

  def infer(self, params: PyTree, images: Images, noise: jax.Array) -> Steps:
    """All steps of inference."""
    out, _ = states.apply(
      self.net, params["draw"], {}, images, noise, train=False
    )
    return out

  def terms(
    self,
    params: PyTree,
    frozen: PyTree,
    images: Images,
    noise: jax.Array,
  ) -> tuple[Steps, jax.Array, jax.Array]:
    """Steps, reconstruction term `[B]` and KL of each step `[B, T]`."""
    steps = self.infer(params, images, noise)
    rec = self.observation.nll(steps.canvas, images, params, frozen)
    return steps, rec, elbo.kl_of_steps(*steps[2:])

  def loss(self, before: State, params: PyTree, data: dict[str, jax.Array]):
    """The objective, and the KL of each step beside it."""
    _, rec, kl = self.terms(params, before.frozen, data["image"], data["noise"])
    weighted = kl @ jnp.asarray(self.weights, kl.dtype)
    loss = elbo.negative_elbo(rec, weighted, 1.0).mean()
    metrics = {
      "loss": loss,
      "reconstruction": rec.mean(),
      "kl": kl.sum(1).mean(),
    }
    metrics |= kl_names(kl.mean(0))
    return loss, (metrics, {})

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """One step on one draw of the codes."""
    images = batch["image"]
    data = {"image": images, "noise": self._noise(rng, len(images))}
    before = state

    def loss(params: PyTree, part: dict[str, jax.Array]):
      return self.loss(before, params, part)

    state, metrics = descend(state, self.players, "draw", loss, data)
    return advance(state, self.ema), metrics

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """The bound of one draw, its parts, and the error of its image, `[B]`."""
    images, mean = batch["image"], state.averaged
    noise = self._noise(rng, len(images))
    steps, rec, kl = self.terms(mean.params, state.frozen, images, noise)
    total = kl.sum(1)
    loss = rec + kl @ jnp.asarray(self.weights, kl.dtype)
    error = jnp.square(self.observation.image(steps.canvas) - images)
    values = {"loss": loss, "reconstruction": rec, "kl": total}
    values["mse"] = error.mean((1, 2, 3))
    if self.bounded:
      values["negative_elbo"] = rec + total
    return values | kl_names(kl.T)

  @property
  def bounded(self) -> bool:
    """Whether log-weights are nats: the observation model is a density."""
    return self.observation.density

  def log_weights(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> jax.Array:
    """Log p(x, z) - log q(z | x) of one draw of all steps, `[B]` nats.

    Raises:
      ValueError: where the observation model is no density.
    """
    if not self.bounded:
      raise ValueError(
        f"likelihood {self.observation.name!r} is no density of this data, so"
        " there is no bound in nats: binarise the images, or train with"
        " config.likelihood.name=logistic, scale=0.05 and learned_scale=True"
      )
    images, mean = batch["image"], state.averaged
    noise = self._noise(rng, len(images))
    steps, rec, _ = self.terms(mean.params, state.frozen, images, noise)
    log_q = distributions.gaussian_log_prob(
      steps.codes, steps.mean, 2.0 * steps.log_sigma
    )
    if steps.prior_mean is None or steps.prior_log_sigma is None:
      log_p = distributions.standard_normal_log_prob(steps.codes)
    else:
      log_p = distributions.gaussian_log_prob(
        steps.codes, steps.prior_mean, 2.0 * steps.prior_log_sigma
      )
    return log_p - log_q - rec

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, T, d]`: each step's mean given those before, or a draw."""
    rows = len(images)
    noise = jnp.zeros((rows, self.net.steps, *self.net.code_shape))
    if rng is not None:
      noise = self._noise(rng, rows)
    return self.infer(state.averaged.params, images, noise).codes

  def decode(self, state: State, latent: Latent) -> Images:
    """Mean images of codes `[B, T, d]`."""
    canvas, _ = states.apply(
      self.net,
      state.averaged.params["draw"],
      {},
      latent,
      train=False,
      method="generate",
    )
    return self.observation.image(canvas)

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """Mean images of codes drawn from the prior at every step."""
    unconditional(condition, "draw")
    canvas, _ = self._dream(state, self._noise(rng, n))
    return self.observation.image(canvas)

  @property
  def steps(self) -> int:
    """T, steps of a code."""
    return self.net.steps

  def priced(
    self, state: State, images: Images, rng: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """Codes drawn from the posterior, and their cost a step, `[B, T]` nats.

    The cost is the KL to the step's prior. The draw is that of `eval_step`.
    """
    noise = self._noise(rng, len(images))
    steps = self.infer(state.averaged.params, images, noise)
    return steps.codes, elbo.kl_of_steps(*steps[2:])

  def remake(
    self,
    state: State,
    images: Images,
    codes: Latent,
    kept: jax.Array,
    rng: jax.Array | None = None,
  ) -> tuple[Images, jax.Array]:
    """Images remade of their first codes; the prior gives the rest.

    Args:
      state: the weights.
      images: that the codes are of, `[B, H, W, C]` in [0, 1].
      codes: from `priced`.
      kept: `[]`, steps whose codes are kept.
      rng: of the prior's draws; None for its means.

    Returns:
      Mean images like `images`, and the reconstruction term of `images` given
      all codes, `[B]`: nats where the observation model is a density.
    """
    noise = jnp.zeros_like(codes)
    if rng is not None:
      noise = self._noise(rng, len(images))
    stays = jnp.arange(self.steps) < kept
    canvas, _ = self._dream(state, noise, codes, stays)
    params = state.averaged.params
    rec = self.observation.nll(canvas, images, params, state.frozen)
    return self.observation.image(canvas), rec

  def lossy(
    self, state: State, images: Images, rng: jax.Array, kept: jax.Array
  ) -> tuple[Images, jax.Array]:
    """Images remade of their first codes, the rest drawn from the prior.

    Gregor et al. 2016 (arXiv:1604.08772): what lossy compression keeps.

    Args:
      state: the weights.
      images: `[B, H, W, C]` in [0, 1].
      rng: of both draws.
      kept: `[]`, steps whose codes are kept.

    Returns:
      Mean images like `images`, and what the kept codes cost, `[B]` nats.
    """
    first, second = jax.random.split(rng)
    codes, cost = self.priced(state, images, first)
    copies, _ = self.remake(state, images, codes, kept, second)
    stays = jnp.arange(self.steps) < kept
    return copies, (cost * stays[None]).sum(1)

  def _dream(
    self,
    state: State,
    noise: jax.Array,
    codes: jax.Array | None = None,
    kept: jax.Array | None = None,
  ) -> tuple[jax.Array, Latent]:
    """Canvas and codes of the prior, after the codes that are kept."""
    codes = noise if codes is None else codes
    kept = jnp.zeros(self.steps, bool) if kept is None else kept
    params = state.averaged.params["draw"]
    dreamt, _ = states.apply(
      self.net, params, {}, noise, codes, kept, train=False, method="dream"
    )
    return dreamt

  def film(
    self, state: State, rng: jax.Array, n: int, images: Images | None = None
  ) -> Film:
    """`n` samples as they are painted, or copies of `images`.

    The canvas is shown: mean images `[n, T + 1, H, W, C]` in [0, 1].
    """
    noise = self._noise(rng, n)
    params = state.averaged.params["draw"]
    given = () if images is None else (images, noise)
    codes = self._dream(state, noise)[1] if images is None else noise
    film, _ = states.apply(
      self.net, params, {}, codes, *given, train=False, method="film"
    )
    shown = film.canvas.reshape(-1, *self.net.image_shape)
    shown = self.observation.image(shown).reshape(film.canvas.shape)
    return film._replace(canvas=shown)

  def _noise(self, rng: jax.Array, rows: int) -> jax.Array:
    """Standard normal, `[B, T, d]`: anew for every step of the drawing."""
    shape = (rows, self.net.steps, *self.net.code_shape)
    return jax.random.normal(rng, shape)


def kl_names(values: jax.Array) -> dict[str, jax.Array]:
  """The KL of each step by name, `kl_step/01` and on; `[T, ...]`."""
  return {f"kl_step/{t:02d}": value for t, value in enumerate(values, 1)}
