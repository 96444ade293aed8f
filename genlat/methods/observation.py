"""The decoder's observation model: what a pixel is given the decoder.

The energies of `l2` and `l1` (sums over pixels, no constants) and of
`perceptual` are those of the papers and are no densities; `bernoulli`,
`gaussian` and `logistic` are, with every constant.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from genlat import weights
from genlat.losses import perceptual, reconstruction
from genlat.nets import conv, vgg

PyTree = Any

DENSITIES = ("bernoulli", "gaussian", "logistic")
ENERGIES = ("l1", "l2", "perceptual")
ACTIVATIONS = ("none", "sigmoid", "tanh")


@dataclasses.dataclass(frozen=True)
class Observation:
  """How far a decoder's raw output is from an image.

  Attributes:
    name: one of DENSITIES or ENERGIES.
    activation: 'tanh' maps raw output a to tanh(a)/2 + 1/2, 'sigmoid' to
      sigmoid(a); the range is that of the data, [0, 1], either way (the
      official GLF code mixes ranges: glf.md 1.6). 'none' takes a itself as
      the mean, and shows it clipped.
    scale: standard deviation (gaussian) or scale (logistic), in pixels of
      [0, 1]; where it is learned, the value at the start.
    learned_scale: whether one scalar log-scale is trained.
    levels: number of VGG-16 taps (perceptual).
    vgg: path of the VGG-16 weights (perceptual).
    vgg_sha256: expected hash of that file; '' = the published one.
    binary: whether pixels are 0 or 1.
  """

  name: str
  activation: str
  scale: float
  learned_scale: bool
  levels: int
  vgg: str
  vgg_sha256: str
  binary: bool

  @classmethod
  def from_config(cls, config: ConfigDict, side: int) -> "Observation":
    """Reads `config.likelihood`, `config.weights` and `config.data`.

    Args:
      config: of the run.
      side: of an image, pixels.

    Raises:
      ValueError: for unknown names, a scale <= 0, or a learned scale where
        there is none.
    """
    likelihood = config.likelihood
    known = DENSITIES + ENERGIES
    if likelihood.name not in known:
      raise ValueError(
        f"config.likelihood.name must be one of {', '.join(sorted(known))};"
        f" got {likelihood.name!r}"
      )
    if likelihood.activation not in ACTIVATIONS:
      raise ValueError(
        "config.likelihood.activation must be one of"
        f" {', '.join(ACTIVATIONS)}; got {likelihood.activation!r}"
      )
    if likelihood.scale <= 0:
      raise ValueError(
        f"config.likelihood.scale must be above 0; got {likelihood.scale}"
      )
    if likelihood.learned_scale and likelihood.name not in (
      "gaussian",
      "logistic",
    ):
      raise ValueError(
        "config.likelihood.learned_scale needs likelihood.name gaussian or"
        f" logistic; got {likelihood.name!r}"
      )
    if likelihood.name == "bernoulli" and likelihood.activation == "none":
      raise ValueError(
        "likelihood bernoulli reads raw outputs as logits: set"
        " config.likelihood.activation to sigmoid or tanh"
      )
    if likelihood.name == "logistic" and config.data.dequantise:
      raise ValueError(
        "likelihood logistic is of grey levels: set config.data.dequantise to"
        " False, or config.likelihood.name to gaussian"
      )
    return cls(
      name=likelihood.name,
      activation=likelihood.activation,
      scale=likelihood.scale,
      learned_scale=likelihood.learned_scale,
      levels=likelihood.levels or (3 if side < 64 else 4),
      vgg=config.weights.vgg,
      vgg_sha256=config.weights.vgg_sha256,
      binary=config.data.binarise != "none"
      or config.data.name == "binarized_mnist",
    )

  @property
  def density(self) -> bool:
    """Whether `nll` is minus the log of a density or probability.

    A Bernoulli of grey levels is neither: its mass is not one.
    """
    return self.name in DENSITIES and (self.name != "bernoulli" or self.binary)

  def init(self) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
    """Own trained weights, and room for the frozen ones, by network name.

    The room is filled with nan: what forgets to fill it is heard of.
    """
    params: dict[str, PyTree] = {}
    if self.learned_scale:
      params["scale"] = {"log_scale": jnp.log(jnp.float32(self.scale))}
    frozen: dict[str, PyTree] = {}
    if self.name == "perceptual":
      frozen["vgg"] = jax.tree.map(
        lambda x: jnp.full(x.shape, jnp.nan), vgg.shapes(self.levels)
      )
    return params, frozen

  def frozen(self) -> dict[str, PyTree]:
    """Frozen weights by network, read from their files.

    Raises:
      OSError: if a file is missing.
      ValueError: if it is not the one expected.
    """
    if self.name != "perceptual":
      return {}
    arrays = weights.load(self.vgg, self.vgg_sha256, network="vgg")
    return {"vgg": vgg.load_params(arrays, self.levels)}

  def mean(self, raw: jax.Array) -> jax.Array:
    """Mean image of raw output `[B, H, W, C]`; any range without activation."""
    if self.activation == "none":
      return raw
    return conv.to_unit(raw, self.activation)

  def image(self, raw: jax.Array) -> jax.Array:
    """Mean image in [0, 1] of the decoder's raw output `[B, H, W, C]`."""
    return jnp.clip(self.mean(raw), 0.0, 1.0)

  def nll(
    self,
    raw: jax.Array,
    images: jax.Array,
    params: dict[str, PyTree],
    frozen: dict[str, PyTree],
  ) -> jax.Array:
    """Reconstruction term, summed over pixels.

    Args:
      raw: decoder output `[B, H, W, C]` before its activation.
      images: `[B, H, W, C]` in [0, 1].
      params: the method's weights; `scale` is read where it is learned.
      frozen: the state's frozen weights; `vgg` is read for perceptual.

    Returns:
      `[B]`, nats for a density, else the paper's energy.
    """
    if self.name == "bernoulli":
      # tanh(a)/2 + 1/2 = sigmoid(2a).
      logits = 2.0 * raw if self.activation == "tanh" else raw
      return reconstruction.bernoulli_nll(images, logits)
    mean = self.mean(raw)
    if self.name == "l2":
      return reconstruction.squared_error(images, mean)
    if self.name == "l1":
      return reconstruction.absolute_error(images, mean)
    if self.name == "perceptual":
      features = [
        vgg.features(frozen["vgg"], x, self.levels) for x in (mean, images)
      ]
      pixels = reconstruction.absolute_error(images, mean)
      return pixels + perceptual.perceptual_l1(*features)
    log_scale = jnp.log(jnp.float32(self.scale))
    if self.learned_scale:
      log_scale = params["scale"]["log_scale"]
    if self.name == "gaussian":
      return reconstruction.gaussian_nll(images, mean, log_scale)
    return reconstruction.logistic_nll(images, mean, log_scale)
