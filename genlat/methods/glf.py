"""Generative Latent Flow (Xiao, Yan & Amit 2019, arXiv:1905.10485).

An autoencoder and a normalising flow F: z -> e over its codes, trained in one
stage. The autoencoder sees L_rec = mean_b R(x_b, G(E(x_b))), R a sum over
pixels; the flow sees L_nll = -mean_b log p_F(sg E(x_b)), where sg stops the
gradient, so that the prior never over-regularises the codes (glf.md 1.1).
Both players move at once, each on the same forward pass, as the official
code does.

With `stop_gradient` off it is the regularised variant (glf.md 1.2): the NLL
reaches the encoder, beta * L_rec + L_nll.

Departures from the official code, all named in glf.md 1.6 and 6: images and
targets share the range [0, 1]; samples are normalised by averages unless
`config.evaluation.batch_statistics` asks for the batch's own; no image is
stretched.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
from ml_collections import ConfigDict

from genlat import optimizers
from genlat.losses.flow import flow_nll
from genlat.methods.autoencoding import (
  Autoencoding,
  flow_from_config,
  run_flow,
)
from genlat.methods.method import Batch, Images, Latent, unconditional
from genlat.nets.coupling import Flow
from genlat.state import Metrics, Player, State, advance, descend_together


@dataclasses.dataclass(frozen=True)
class Glf:
  """Generative Latent Flow.

  Attributes:
    nets: the autoencoder's networks.
    flow: from codes to noise.
    players: `autoencoder` and `flow`.
    stop_gradient: False for regularised GLF.
    beta: weight of the reconstruction.
    code_noise: standard deviation of noise on the codes that the flow is
      fitted to, against dead dimensions; 0 in the paper.
    ema: share of the averaged weights kept a step; 0 = off.
    generative: it has a prior to sample from.
  """

  nets: Autoencoding
  flow: Flow
  players: Mapping[str, Player]
  stop_gradient: bool
  beta: float
  code_noise: float
  ema: float
  generative: ClassVar[bool] = True

  @classmethod
  def from_config(
    cls, config: ConfigDict, image_shape: tuple[int, int, int]
  ) -> "Glf":
    """Builds networks and players.

    Raises:
      ValueError: for a negative noise or a reconstruction weight <= 0.
    """
    if config.glf.code_noise < 0 or config.glf.beta <= 0:
      raise ValueError(
        "config.glf.code_noise must be at least 0 and config.glf.beta above"
        f" 0; got {config.glf.code_noise} and {config.glf.beta}"
      )
    nets = Autoencoding.from_config(config, image_shape, statistics=1)
    turns = {"autoencoder": nets.nets, "flow": ("flow",)}
    return cls(
      nets=nets,
      flow=flow_from_config(config),
      players=optimizers.players(config, turns),
      stop_gradient=config.glf.stop_gradient,
      beta=config.glf.beta,
      code_noise=config.glf.code_noise,
      ema=config.ema,
    )

  def frozen(self) -> dict[str, Any]:
    """Weights of the perceptual network, where there is one."""
    return self.nets.observation.frozen()

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0."""
    del batch
    return self.nets.start(rng, self.players, self.ema, self.flow)

  def autoencoder_loss(
    self,
    before: State,
    params: dict[str, Any],
    data: dict[str, jax.Array],
  ):
    """Beta * L_rec, plus L_nll where no gradient is stopped (1.1, 1.2)."""
    codes, enc = self.nets.encode(
      params, before.stats, data["image"], train=True
    )
    raw, dec = self.nets.decode(params, before.stats, codes, train=True)
    rec = self.nets.observation.nll(
      raw, data["image"], params, before.frozen
    ).mean()
    loss = self.beta * rec
    if not self.stop_gradient:
      nll, _ = self._nll(before, params, codes, data)
      loss = loss + nll
    metrics = {"reconstruction": rec, "code_std": codes.std()}
    return loss, (metrics, {"encoder": enc, "decoder": dec})

  def flow_loss(
    self,
    before: State,
    params: dict[str, Any],
    data: dict[str, jax.Array],
  ):
    """L_nll of the codes; here the encoder is a constant (1.1)."""
    codes, _ = self.nets.encode(params, before.stats, data["image"], train=True)
    nll, stats = self._nll(before, params, jax.lax.stop_gradient(codes), data)
    return nll, ({"flow_nll": nll}, {"flow": stats})

  def _nll(
    self,
    before: State,
    params: dict[str, Any],
    codes: jax.Array,
    data: dict[str, jax.Array],
  ) -> tuple[jax.Array, Any]:
    """Mean flow NLL in nats, and the flow's averages."""
    noisy = codes + self.code_noise * data["noise"]
    noise, logdet, stats = run_flow(
      self.flow, params, before.stats, noisy, train=True
    )
    return flow_nll(noise, logdet).mean(), stats

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """Both players move from the same weights."""
    before, images = state, batch["image"]
    shape = (images.shape[0], self.nets.latent)
    data = {"image": images, "noise": jax.random.normal(rng, shape)}
    losses = {
      "autoencoder": functools.partial(self.autoencoder_loss, before),
      "flow": functools.partial(self.flow_loss, before),
    }
    state, metrics = descend_together(state, self.players, losses, data)
    # As in evaluation: the two parts, each counted once.
    metrics["loss"] = (
      self.beta * metrics["reconstruction"] + metrics["flow_nll"]
    )
    return advance(state, self.ema), metrics

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """Reconstruction, flow NLL in nats and mean squared error, `[B]`."""
    del rng
    mean, x = state.averaged, batch["image"]
    params = mean.params
    codes = self.encode(state, x)
    raw, _ = self.nets.decode(params, mean.stats, codes, train=False)
    rec = self.nets.observation.nll(raw, x, params, state.frozen)
    noise, logdet, _ = run_flow(self.flow, params, mean.stats, codes)
    nll = flow_nll(noise, logdet)
    return {
      "loss": self.beta * rec + nll,
      "reconstruction": rec,
      "flow_nll": nll,
      **self.nets.pixel_metrics(raw, x),
    }

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes `[B, latent]`; deterministic."""
    del rng
    return self.nets.codes(state, images)

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
    """G(F^-1(e)) with e ~ N(0, I), in evaluation mode."""
    unconditional(condition, "glf")
    noise = jax.random.normal(rng, (n, self.nets.latent))
    return self.nets.images_of_noise(state, self.flow, noise)
