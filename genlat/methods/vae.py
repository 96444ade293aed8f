"""Variational autoencoders with Gaussian or flow priors and posteriors.

q(z_0 | x) = N(mu, exp(lv)); with a flow posterior z = F(z_0), else z = z_0.
p(z) = N(0, I), or with a flow prior N(f(z); 0, I) |det df/dz|.

  objective  J = w * E[-log p(x | z)] + beta * E[log q(z | x) - log p(z)]

With prior and posterior Gaussian the KL is closed (Kingma & Welling 2013,
arXiv:1312.6114, B3); otherwise it is one draw (B5; glf.md 1.3, where the
official VAE + flow prior has w = 400, beta = 1). With `samples` above 1 the
objective is the importance-weighted bound of that many draws (Burda et al.
2015, arXiv:1509.00519, B6). All players move at once.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from genlat import distributions, optimizers
from genlat.losses import elbo
from genlat.losses.flow import flow_nll
from genlat.methods.autoencoding import (
  Autoencoding,
  flow_from_config,
  run_flow,
)
from genlat.methods.method import Batch, Images, Latent, unconditional
from genlat.nets.coupling import Flow
from genlat.state import Metrics, Player, State, advance, descend_together

PyTree = Any
KINDS = ("flow", "gaussian")


@dataclasses.dataclass(frozen=True)
class Vae:
  """A variational autoencoder.

  Attributes:
    nets: the networks of the image side; the encoder gives mean and
      log-variance.
    flow: the prior's or the posterior's, or None.
    flow_posterior: whether the flow is the posterior's.
    players: `vae`, and `flow` where there is one.
    reconstruction: weight w of the reconstruction.
    beta: weight of the KL.
    samples: draws of the posterior; above 1 the objective is IWAE's.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it has a prior to sample from.
  """

  nets: Autoencoding
  flow: Flow | None
  flow_posterior: bool
  players: Mapping[str, Player]
  reconstruction: float
  beta: float
  samples: int
  ema: float
  generative: ClassVar[bool] = True

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "Vae":
    """Builds networks and players; raises ValueError for impossible blocks."""
    vae = config.vae
    _check(config)
    nets = Autoencoding.from_config(config, image_shape, statistics=2)
    if vae.samples > 1 and not nets.observation.density:
      raise ValueError(
        "the importance-weighted objective needs a density: set"
        " config.likelihood.name to gaussian or logistic, or to bernoulli"
        " with config.data.binarise"
      )
    flowing = "flow" in (vae.prior, vae.posterior)
    turns = {"vae": nets.nets} | ({"flow": ("flow",)} if flowing else {})
    return cls(
      nets=nets,
      flow=flow_from_config(config) if flowing else None,
      flow_posterior=vae.posterior == "flow",
      players=optimizers.players(config, turns),
      reconstruction=vae.reconstruction,
      beta=vae.beta,
      samples=vae.samples,
      ema=config.ema,
    )

  def frozen(self) -> dict[str, Any]:
    """Weights of the perceptual network, where there is one."""
    return self.nets.observation.frozen()

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0."""
    del batch
    return self.nets.start(rng, self.players, self.ema, self.flow)

  def terms(
    self,
    params: dict[str, PyTree],
    before: State,
    data: dict[str, jax.Array],
    *,
    train: bool,
  ) -> tuple[dict[str, jax.Array], dict[str, PyTree]]:
    """The terms of the bound for each draw, `[B, K]`.

    Args:
      params: weights by network.
      before: gives averages and frozen weights.
      data: `image` `[B, H, W, C]` and `noise` `[B, K, latent]`.
      train: whether batch statistics are used.

    Returns:
      `reconstruction`, `log_q` and `log_p` of the draws, the raw decoder
      output of the first draw and the posterior's `mean` and `log_var`
      `[B, latent]`; and the new averages by network.
    """
    x, noise = data["image"], data["noise"]
    b, k, d = noise.shape
    out, enc = self.nets.encode(params, before.stats, x, train=train)
    mean, log_var = jnp.split(out, 2, -1)
    drawn = mean[:, None] + jnp.exp(0.5 * log_var)[:, None] * noise
    flat = drawn.reshape(b * k, d)
    log_q = distributions.gaussian_log_prob(
      flat, jnp.repeat(mean, k, 0), jnp.repeat(log_var, k, 0)
    )
    codes, log_q, log_p, moved = self._densities(
      params, before, flat, log_q, train
    )
    raw, dec = self.nets.decode(params, before.stats, codes, train=train)
    rec = self.nets.observation.nll(
      raw, jnp.repeat(x, k, 0), params, before.frozen
    )
    rows = {"reconstruction": rec, "log_q": log_q, "log_p": log_p}
    terms = {name: value.reshape(b, k) for name, value in rows.items()}
    first = raw.reshape(b, k, *raw.shape[1:])[:, 0]
    terms |= {"mean": mean, "log_var": log_var, "raw": first}
    return terms, {"encoder": enc, "decoder": dec, **moved}

  def _densities(
    self,
    params: dict[str, PyTree],
    before: State,
    drawn: jax.Array,
    log_q: jax.Array,
    train: bool,
  ) -> tuple[jax.Array, jax.Array, jax.Array, dict[str, PyTree]]:
    """Codes, log q and log p of draws of N(mu, exp(lv)), and averages."""
    if self.flow is None:
      log_p = distributions.standard_normal_log_prob(drawn)
      return drawn, log_q, log_p, {}
    out, logdet, stats = run_flow(
      self.flow, params, before.stats, drawn, train=train
    )
    log_out = distributions.standard_normal_log_prob(out)
    if not self.flow_posterior:
      return drawn, log_q, log_out + logdet, {"flow": stats}
    return out, log_q - logdet, log_out, {"flow": stats}

  def kl(self, terms: dict[str, jax.Array]) -> jax.Array:
    """`[B]` nats: closed as far as Gaussians go, else the draws' mean."""
    if self.flow is None:
      return elbo.kl_standard_normal(terms["mean"], terms["log_var"])
    if not self.flow_posterior:
      return elbo.flow_prior_kl(-terms["log_p"].mean(1), terms["log_var"])
    return (terms["log_q"] - terms["log_p"]).mean(1)

  def loss(
    self,
    before: State,
    params: dict[str, PyTree],
    data: dict[str, jax.Array],
  ):
    """The objective of every player."""
    terms, stats = self.terms(params, before, data, train=True)
    values = self.objective(terms)
    metrics = {name: value.mean() for name, value in values.items()}
    return metrics["loss"], (metrics, stats)

  def objective(self, terms: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The loss of each example and its parts, `[B]`."""
    rec, kl = terms["reconstruction"].mean(1), self.kl(terms)
    if self.samples > 1:
      loss = elbo.iwae(_log_weights(terms).T)
    else:
      loss = elbo.negative_elbo(self.reconstruction * rec, kl, self.beta)
    return {"loss": loss, "reconstruction": rec, "kl": kl}

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """All players move from the same weights and the same draw."""
    data = self._data(batch, rng, self.samples)
    losses = dict.fromkeys(self.players, functools.partial(self.loss, state))
    state, metrics = descend_together(state, self.players, losses, data)
    return advance(state, self.ema), metrics

  def _data(
    self, batch: Batch, rng: jax.Array, samples: int
  ) -> dict[str, jax.Array]:
    shape = (batch["image"].shape[0], samples, self.nets.latent)
    return {"image": batch["image"], "noise": jax.random.normal(rng, shape)}

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """The objective and its parts, `[B]`; nats where it is a density."""
    data, mean = self._data(batch, rng, self.samples), state.averaged
    terms, _ = self.terms(mean.params, mean, data, train=False)
    values = self.objective(terms)
    if self.bounded:
      values["negative_elbo"] = values["reconstruction"] + values["kl"]
    if self.flow is not None and not self.flow_posterior:
      noise, logdet, _ = run_flow(
        self.flow, mean.params, mean.stats, terms["mean"]
      )
      values["flow_nll"] = flow_nll(noise, logdet)
    return values | self.nets.pixel_metrics(terms["raw"], data["image"])

  def log_weights(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> jax.Array:
    """Log p(x, z) - log q(z | x) of one draw, `[B]` nats.

    Raises:
      ValueError: where the observation model is no density.
    """
    if not self.bounded:
      raise ValueError(
        f"likelihood {self.nets.observation.name!r} is no density of this"
        " data, so there is no bound in nats; train with"
        " config.likelihood.name=gaussian or logistic, or bernoulli with"
        " config.data.binarise"
      )
    data, mean = self._data(batch, rng, 1), state.averaged
    terms, _ = self.terms(mean.params, mean, data, train=False)
    return _log_weights(terms)[:, 0]

  @property
  def gaussian(self) -> bool:
    """Whether the posterior is a Gaussian."""
    return not self.flow_posterior

  @property
  def standard(self) -> bool:
    """Whether prior and posterior are Gaussian, so that the KL is closed."""
    return self.flow is None

  @property
  def bounded(self) -> bool:
    """Whether log-weights are nats: the observation model is a density."""
    return self.nets.observation.density

  def posterior(
    self, state: State, images: Images
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and log-variance of q(z_0 | x), `[B, latent]` each."""
    mean, log_var = jnp.split(self.nets.codes(state, images), 2, -1)
    return mean, log_var

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, latent]`: of the posterior's mean, or of a draw."""
    codes, log_var = self.posterior(state, images)
    if rng is not None:
      noise = jax.random.normal(rng, codes.shape)
      codes = codes + jnp.exp(0.5 * log_var) * noise
    if self.flow is not None and self.flow_posterior:
      mean = state.averaged
      codes, _, _ = run_flow(self.flow, mean.params, mean.stats, codes)
    return codes

  def decode(self, state: State, latent: Latent) -> Images:
    """Images of codes `[B, latent]`."""
    return self.nets.images(state, latent)

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """Mean images of codes drawn from the prior."""
    unconditional(condition, "vae")
    noise = jax.random.normal(rng, (n, self.nets.latent))
    if self.flow is not None and not self.flow_posterior:
      return self.nets.images_of_noise(state, self.flow, noise)
    return self.decode(state, noise)


def _log_weights(terms: dict[str, jax.Array]) -> jax.Array:
  """Log p(x | z) + log p(z) - log q(z | x), `[B, K]`."""
  return terms["log_p"] - terms["log_q"] - terms["reconstruction"]


def _check(config: ConfigDict) -> None:
  """Raises ValueError for blocks of `config.vae` that make no model."""
  vae = config.vae
  for key in ("prior", "posterior"):
    if vae[key] not in KINDS:
      raise ValueError(
        f"config.vae.{key} must be one of {', '.join(KINDS)}; got {vae[key]!r}"
      )
  weighted = (vae.beta, vae.reconstruction) != (1.0, 1.0)
  faults = (
    (
      vae.prior == vae.posterior == "flow",
      "one flow serves the prior or the posterior: set config.vae.prior or"
      " config.vae.posterior to gaussian",
    ),
    (
      min(vae.beta, vae.reconstruction) < 0 or vae.samples < 1,
      "config.vae.beta and reconstruction must be at least 0 and samples at"
      f" least 1; got {vae.beta}, {vae.reconstruction} and {vae.samples}",
    ),
    (
      vae.samples > 1 and weighted,
      "the importance-weighted objective (config.vae.samples above 1) has no"
      " weights: set config.vae.beta and reconstruction to 1",
    ),
  )
  for wrong, line in faults:
    if wrong:
      raise ValueError(line)
