"""Encoder, decoder and observation model: what AE, VAE and GLF share."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from genlat import state as states
from genlat.methods.observation import Observation
from genlat.nets import conv, residual
from genlat.nets.coupling import Flow
from genlat.state import Player, State

PyTree = Any
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Autoencoding:
  """The image side of a model: images to code statistics and back.

  Attributes:
    encoder: `[B, H, W, C]` to `[B, outputs]`.
    decoder: `[B, latent]` to raw output `[B, H, W, C]`.
    observation: likelihood of images given the raw output.
    image_shape: H, W, C.
    latent: dimensions of a code.
    batch_statistics: whether flow and decoder normalise by the batch at hand
      when they make images, as the official GLF sampling script does,
      instead of by the averages.
  """

  encoder: nn.Module
  decoder: nn.Module
  observation: Observation
  image_shape: tuple[int, int, int]
  latent: int
  batch_statistics: bool

  @classmethod
  def from_config(
    cls,
    config: ConfigDict,
    image_shape: tuple[int, int, int],
    *,
    statistics: int,
  ) -> "Autoencoding":
    """Builds the networks of `config.model`.

    Args:
      config: the run's configuration.
      image_shape: H, W, C.
      statistics: encoder outputs per code dimension (2: mean, log-variance).

    Raises:
      ValueError: for unknown names and impossible sizes.
    """
    model = config.model
    if model.dtype not in DTYPES:
      raise ValueError(
        f"config.model.dtype must be one of {', '.join(DTYPES)};"
        f" got {model.dtype!r}"
      )
    if model.latent < 1:
      raise ValueError(
        f"config.model.latent must be at least 1; got {model.latent}"
      )
    if model.architecture not in ARCHITECTURES:
      raise ValueError(
        "config.model.architecture must be one of"
        f" {', '.join(ARCHITECTURES)}; got {model.architecture!r}"
      )
    make = ARCHITECTURES[model.architecture]
    encoder, decoder = make(config, image_shape, statistics * model.latent)
    return cls(
      encoder=encoder,
      decoder=decoder,
      observation=Observation.from_config(config, min(image_shape[:2])),
      image_shape=image_shape,
      latent=model.latent,
      batch_statistics=config.evaluation.batch_statistics,
    )

  @property
  def nets(self) -> tuple[str, ...]:
    """Names of the networks that move with the autoencoder."""
    own = ("scale",) if self.observation.learned_scale else ()
    return ("encoder", "decoder", *own)

  def start(
    self,
    rng: jax.Array,
    players: Mapping[str, Player],
    ema: float,
    flow: Flow | None = None,
  ) -> State:
    """The state at step 0, with the network `flow` where there is one.

    The image side and the flow draw from streams of their own: with the same
    seed an autoencoder is the same whatever its flow.
    """
    image_side, flow_side = jax.random.split(rng)
    params, frozen = self.observation.init()
    stats: dict[str, PyTree] = {}
    enc, dec = jax.random.split(image_side)
    made = [
      ("encoder", self.encoder, enc, (1, *self.image_shape)),
      ("decoder", self.decoder, dec, (1, self.latent)),
    ]
    if flow is not None:
      made.append(("flow", flow, flow_side, (1, self.latent)))
    for name, net, key, shape in made:
      params[name], stats[name] = states.initialise(net, key, jnp.zeros(shape))
    return states.create(params, stats, players, ema=ema > 0, frozen=frozen)

  def encode(
    self, params: PyTree, stats: PyTree, images: jax.Array, *, train: bool
  ) -> tuple[jax.Array, PyTree]:
    """`[B, H, W, C]` to code statistics `[B, outputs]`, and the averages."""
    return states.apply(
      self.encoder,
      params["encoder"],
      stats["encoder"],
      images,
      train=train,
    )

  def decode(
    self, params: PyTree, stats: PyTree, codes: jax.Array, *, train: bool
  ) -> tuple[jax.Array, PyTree]:
    """`[B, latent]` to raw output `[B, H, W, C]`, and the averages."""
    return states.apply(
      self.decoder, params["decoder"], stats["decoder"], codes, train=train
    )

  def codes(self, state: State, images: jax.Array) -> jax.Array:
    """Encoder outputs `[B, outputs]` of images, as evaluation has them."""
    mean = state.averaged
    return self.encode(mean.params, mean.stats, images, train=False)[0]

  def images(self, state: State, codes: jax.Array) -> jax.Array:
    """Mean images `[B, H, W, C]` of codes, with the averaged weights."""
    mean = state.averaged
    raw, _ = self.decode(
      mean.params, mean.stats, codes, train=self.batch_statistics
    )
    return self.observation.image(raw)

  def images_of_noise(
    self, state: State, flow: Flow, noise: jax.Array
  ) -> jax.Array:
    """Mean images `[B, H, W, C]` of the codes F^-1(noise)."""
    mean = state.averaged
    codes, _, _ = run_flow(
      flow,
      mean.params,
      mean.stats,
      noise,
      train=self.batch_statistics,
      inverse=True,
    )
    return self.images(state, codes)

  def pixel_metrics(
    self, raw: jax.Array, images: jax.Array
  ) -> dict[str, jax.Array]:
    """Mean squared error of each image, `[B]`, pixels in [0, 1]."""
    error = jnp.square(self.observation.image(raw) - images)
    return {"mse": error.mean((1, 2, 3))}


def _conv(
  config: ConfigDict, image_shape: tuple[int, int, int], outputs: int
) -> tuple[nn.Module, nn.Module]:
  """Encoder and decoder of glf.md 2.1."""
  model = config.model
  channels = tuple(model.channels)
  if len(channels) != 2 or min(channels) < 1:
    raise ValueError(
      "config.model.channels of the architecture conv must be two numbers of"
      f" at least 1, such as 64,128; got {channels}"
    )
  sizes = {
    "channels": channels,
    "hidden": model.hidden,
    "normalisation": model.normalisation,
    "dtype": DTYPES[model.dtype],
    "remat": model.remat,
  }
  return (
    conv.Encoder(outputs=outputs, **sizes),
    conv.Decoder(image_shape=image_shape, **sizes),
  )


def _residual(
  config: ConfigDict, image_shape: tuple[int, int, int], outputs: int
) -> tuple[nn.Module, nn.Module]:
  """Encoder and decoder of introvae.md 2.1."""
  model = config.model
  for key, known in (
    ("normalisation", ("batch", "group", "none")),
    ("placement", ("sum", "branch")),
  ):
    if model[key] not in known:
      raise ValueError(
        f"config.model.{key} of the architecture residual must be one of"
        f" {', '.join(known)}; got {model[key]!r}"
      )
  sizes = {
    "channels": tuple(model.channels),
    "placement": model.placement,
    "normalisation": model.normalisation,
    "dtype": DTYPES[model.dtype],
    "remat": model.remat,
  }
  residual.base_shape(image_shape[:2], sizes["channels"])
  return (
    residual.Encoder(outputs=outputs, **sizes),
    residual.Decoder(image_shape=image_shape, **sizes),
  )


ARCHITECTURES = {"conv": _conv, "residual": _residual}


def flow_from_config(config: ConfigDict) -> Flow:
  """The coupling flow of `config.flow` over codes of `config.model`."""
  flow = config.flow
  return Flow(
    dimension=config.model.latent,
    blocks=flow.blocks,
    hidden=flow.hidden,
    coupling=flow.coupling,
    batch_norm=flow.batch_norm,
    bn_momentum=flow.bn_momentum,
    clamp=flow.clamp,
    bins=flow.bins,
    bound=flow.bound,
  )


def run_flow(
  flow: Flow,
  params: dict[str, PyTree],
  stats: dict[str, PyTree],
  codes: jax.Array,
  *,
  train: bool = False,
  inverse: bool = False,
) -> tuple[jax.Array, jax.Array, PyTree]:
  """Runs the network `flow` of a method.

  Args:
    flow: the network.
    params: weights by network.
    stats: averages by network.
    codes: `[B, latent]`; noise where `inverse` is on.
    train: whether batch statistics are used.
    inverse: whether noise is mapped to codes.

  Returns:
    The result `[B, latent]`, its log-determinant `[B]` and the averages.
  """
  (out, logdet), moved = states.apply(
    flow,
    params["flow"],
    stats["flow"],
    codes,
    train=train,
    method="inverse" if inverse else None,
  )
  return out, logdet, moved
