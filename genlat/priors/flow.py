"""A coupling flow over codes: with an autoencoder, two-stage GLF.

The flow, its loss and its optimiser are those of GLF (glf.md 1.1, 2.2, 3);
the codes are frozen (glf.md 5, variant 3).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genlat import scans, sharding
from genlat import state as states
from genlat.losses.flow import flow_nll
from genlat.nets.coupling import Coupling, Flow
from genlat.priors.prior import PyTree, check_codes
from genlat.state import Metrics, Player, State


@dataclasses.dataclass(frozen=True)
class FlowPrior:
  """p(z) = N(F(z); 0, I) |det dF/dz|.

  Attributes:
    dimension: of a code.
    blocks: two-sided couplings.
    hidden: units of a subnet's layers.
    coupling: 'affine', 'additive' or 'spline'.
    clamp: bound of an affine log-scale, about.
    bins: of a spline.
    bound: a spline is the identity beyond it.
    epochs: passes over the codes.
    batch_size: codes a step.
    lr: Adam's learning rate, halved each 50 epochs.
  """

  dimension: int
  blocks: int
  hidden: int
  coupling: Coupling
  clamp: float
  bins: int
  bound: float
  epochs: float
  batch_size: int
  lr: float

  @property
  def net(self) -> Flow:
    """The flow over codes."""
    return Flow(
      dimension=self.dimension,
      blocks=self.blocks,
      hidden=self.hidden,
      coupling=self.coupling,
      batch_norm=False,
      clamp=self.clamp,
      bins=self.bins,
      bound=self.bound,
    )

  def fit(self, codes: np.ndarray, seed: int) -> PyTree:
    """The flow's weights after `epochs` passes over the codes."""
    codes = check_codes(codes, self.batch_size).astype(np.float32)
    if codes.shape[1] != self.dimension:
      raise ValueError(
        f"the flow is over {self.dimension} dimensions; got codes"
        f" {list(codes.shape)}"
      )
    n = len(codes)
    epoch_steps = n // self.batch_size
    net = self.net
    start, order = jax.random.split(jax.random.key(seed))
    params, _ = states.initialise(net, start, jnp.zeros((1, self.dimension)))
    players = {"flow": self._player(epoch_steps)}
    state = states.create({"flow": params}, {"flow": {}}, players)
    run = sharding.compile(_epoch(net, players, self.batch_size))
    rows = jnp.asarray(codes)
    total = round(self.epochs * epoch_steps)
    for epoch in range(-(-total // epoch_steps)):
      steps = min(epoch_steps, total - epoch * epoch_steps)
      shuffled = jax.random.permutation(jax.random.fold_in(order, epoch), n)[
        : steps * self.batch_size
      ]
      batches = shuffled.reshape(steps, self.batch_size)
      state, _ = run(state, rows, batches)
    return state.params

  def _player(self, epoch_steps: int) -> Player:
    """GLF's flow optimiser (glf.md 3)."""
    rate = optax.exponential_decay(
      self.lr, 50 * epoch_steps, 0.5, staircase=True
    )
    tx = optax.chain(
      optax.add_decayed_weights(2e-5),
      optax.adam(rate, b1=0.8, b2=0.9, eps=1e-6),
    )
    return Player(("flow",), tx, convolutional=False)

  def sample(self, params: PyTree, rng: jax.Array, n: int) -> jax.Array:
    """F^-1(e), e ~ N(0, I), `[n, d]`."""
    noise = jax.random.normal(rng, (n, self.dimension))
    (codes, _), _ = states.apply(
      self.net, params["flow"], {}, noise, train=False, method="inverse"
    )
    return codes

  def log_prob(self, params: PyTree, codes: jax.Array) -> jax.Array:
    """Log-density, `[B]` nats."""
    (noise, logdet), _ = states.apply(
      self.net, params["flow"], {}, codes, train=False
    )
    return -flow_nll(noise, logdet)


def _epoch(
  net: Flow, players: dict[str, Player], batch_size: int
) -> Callable[..., tuple[State, Metrics]]:
  """One pass: (state, codes `[N, d]`, row numbers `[S, B]`) to state."""

  def loss(params: dict[str, PyTree], data: dict[str, jax.Array]) -> Any:
    (noise, logdet), _ = states.apply(
      net, params["flow"], {}, data["codes"], train=True
    )
    nll = flow_nll(noise, logdet).mean()
    return nll, ({"flow_nll": nll}, {})

  def run(
    state: State, codes: jax.Array, batches: jax.Array
  ) -> tuple[State, Metrics]:
    def one(state: State, rows: jax.Array) -> tuple[State, Metrics]:
      data = {"codes": codes[rows]}
      state, metrics = states.descend(state, players, "flow", loss, data)
      return states.advance(state, 0.0), metrics

    return scans.scan(one, state, batches, convolutional=False)

  return run
