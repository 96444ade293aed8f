"""Normalising flow of two-sided couplings between codes and noise.

Xiao, Yan, Amit 2019 (Generative Latent Flow) as in the authors' code, which
builds on FrEIA v0.2: blocks of two couplings (Dinh et al. 2017, RealNVP), in
which each half is transformed given the other, then a fixed permutation. F
maps codes z to noise e; log p(z) = log N(F(z); 0, I) + log|det dF/dz|.

Departures: batch normalisation inside the subnets is optional, since with it
the density of a code depends on its batch; additive (Dinh et al. 2015) and
rational-quadratic (Durkan et al. 2019) couplings are options; log-densities
are computed in float32 or better whatever the inputs.
"""

import functools
from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from genlat.nets import spline

_INIT = nn.initializers.normal(0.05)


Coupling = Literal["affine", "additive", "spline"]


class Subnet(nn.Module):
  """Linear-ReLU-[BN]-Linear-ReLU-[BN]-Linear; all weights from N(0, 0.05).

  Attributes:
    outputs: size of the last layer.
    hidden: size of both hidden layers.
    batch_norm: whether a batch normalisation follows each ReLU.
    momentum: share of the old running average that is kept per step.
  """

  outputs: int
  hidden: int
  batch_norm: bool
  momentum: float

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Maps `[B, d]` to `[B, outputs]`."""
    for layer in ("1", "2"):
      x = nn.relu(_dense(self.hidden, f"dense_{layer}")(x))
      if self.batch_norm:
        x = nn.BatchNorm(
          use_running_average=not train,
          momentum=self.momentum,
          epsilon=1e-5,
          scale_init=_INIT,
          bias_init=_INIT,
          name=f"norm_{layer}",
        )(x)
    return _dense(self.outputs, "head")(x)


class Half(nn.Module):
  """Invertible map of one half of a code, given the other half.

  Attributes:
    size: number of dimensions that are transformed.
    coupling: 'affine', 'additive' or 'spline'.
    clamp: of the affine log-scale, clamp * 0.636 * atan(s).
    bins: of the spline.
    bound: of the spline: outside [-bound, bound] it is the identity.
    subnet: makes a conditioner from `outputs` and `name`.
  """

  size: int
  coupling: str
  clamp: float
  bins: int
  bound: float
  subnet: Callable[..., Subnet]

  @nn.compact
  def __call__(
    self, x: jax.Array, given: jax.Array, *, train: bool, inverse: bool
  ) -> tuple[jax.Array, jax.Array]:
    """The transformed half `[B, size]` and the log-determinant `[B]`."""
    if self.coupling == "spline":
      outputs = self.size * spline.parameters_per_element(self.bins)
      raw = self.subnet(outputs, name="spline")(given, train=train)
      y, log_slope = spline.transform(
        x,
        raw.reshape(*x.shape, -1),
        bins=self.bins,
        bound=self.bound,
        inverse=inverse,
      )
      return y, log_slope.sum(-1)
    shift = self.subnet(self.size, name="shift")(given, train=train)
    if self.coupling == "additive":
      return x - shift if inverse else x + shift, jnp.zeros_like(x[:, 0])
    s = self.subnet(self.size, name="scale")(given, train=train)
    log_scale = self.clamp * 0.636 * jnp.arctan(s)  # 0.636 ~ 2 / pi
    if inverse:
      return (x - shift) * jnp.exp(-log_scale), -log_scale.sum(-1)
    return x * jnp.exp(log_scale) + shift, log_scale.sum(-1)


class Flow(nn.Module):
  """Flow F between codes z and noise e, both `[B, dimension]`.

  `__call__` is F (codes to noise), `inverse` is F^-1 (noise to codes).

  Attributes:
    dimension: d, at least 2.
    blocks: number of two-sided couplings, each followed by a permutation.
    hidden: size of the subnets' hidden layers.
    coupling: 'affine', 'additive' or 'spline'.
    batch_norm: whether subnets normalise; with it forward and inverse agree
      only under the same statistics.
    clamp: bound of the affine log-scale, about.
    seed: block k is followed by `RandomState(seed + k).permutation(d)`.
    bins: of the spline.
    bound: half the side of the square in which the spline acts.
    bn_momentum: share of the old running average kept per step; the authors'
      code moves them twice a step: 0.81.
  """

  dimension: int
  blocks: int = 4
  hidden: int = 64
  coupling: Coupling = "affine"
  batch_norm: bool = False
  clamp: float = 2.0
  seed: int = 0
  bins: int = 8
  bound: float = 5.0
  bn_momentum: float = 0.9

  def setup(self) -> None:
    """Makes two halves per block."""
    if self.dimension < 2:
      raise ValueError(f"a coupling flow needs d >= 2; got {self.dimension}")
    if self.coupling not in ("affine", "additive", "spline"):
      raise ValueError(
        "coupling must be 'affine', 'additive' or 'spline';"
        f" got {self.coupling!r}"
      )
    subnet = functools.partial(
      Subnet,
      hidden=self.hidden,
      batch_norm=self.batch_norm,
      momentum=self.bn_momentum,
    )
    make = lambda size: Half(
      size, self.coupling, self.clamp, self.bins, self.bound, subnet
    )
    first = self.dimension // 2
    self.first = [make(first) for _ in range(self.blocks)]
    self.second = [make(self.dimension - first) for _ in range(self.blocks)]

  def __call__(
    self, z: jax.Array, *, train: bool
  ) -> tuple[jax.Array, jax.Array]:
    """Codes to noise.

    Args:
      z: `[B, d]`.
      train: whether batch statistics are used.

    Returns:
      Noise e = F(z), `[B, d]`, and log|det dF/dz|, `[B]`, nats.
    """
    x, logdet = self._start(z)
    split = self.dimension // 2
    for k in range(self.blocks):
      x1, x2 = x[:, :split], x[:, split:]
      y1, part = self.first[k](x1, x2, train=train, inverse=False)
      y2, rest = self.second[k](x2, y1, train=train, inverse=False)
      x = jnp.concatenate([y1, y2], -1)[:, self.permutation(k)]
      logdet += part + rest
    return x, logdet

  def inverse(
    self, e: jax.Array, *, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Noise to codes.

    Args:
      e: `[B, d]`.
      train: whether batch statistics are used.

    Returns:
      Codes z = F^-1(e), `[B, d]`, and log|det dF^-1/de|, `[B]`, nats.
    """
    y, logdet = self._start(e)
    split = self.dimension // 2
    for k in reversed(range(self.blocks)):
      y = y[:, np.argsort(self.permutation(k))]
      y1, y2 = y[:, :split], y[:, split:]
      x2, part = self.second[k](y2, y1, train=train, inverse=True)
      x1, rest = self.first[k](y1, x2, train=train, inverse=True)
      y = jnp.concatenate([x1, x2], -1)
      logdet += part + rest
    return y, logdet

  def permutation(self, block: int) -> np.ndarray:
    """The permutation `[d]` that follows a block, as legacy NumPy draws it."""
    return np.random.RandomState(self.seed + block).permutation(self.dimension)

  def _start(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    chex.assert_shape(x, (None, self.dimension))
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return x, jnp.zeros_like(x[:, 0])


def _dense(features: int, name: str) -> nn.Dense:
  return nn.Dense(features, kernel_init=_INIT, bias_init=_INIT, name=name)
