"""The one state that every method trains, and the one way to move it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from genlat import scans, sharding

PyTree = Any
Metrics = dict[str, jax.Array]
Loss = Callable[[dict[str, PyTree], PyTree], tuple[jax.Array, tuple[Any, Any]]]


class State(flax.struct.PyTreeNode):
  """All that a run carries from one step to the next.

  Attributes:
    step: `[]` int32, train steps done.
    params: weights by network.
    opt: optimiser memory, by memory name and then by network. A player's
      memory has the player's own name unless it names another's.
    stats: normalisation averages by network.
    ema: what evaluation uses, averaged over steps: `params` and `stats` by
      network; empty when off. Averaged weights need normalisation averages
      of their own: those of the moving weights do not fit them.
    frozen: weights that no player ever moves, such as those of a perceptual
      network; they travel with the checkpoint so that it stands alone.
  """

  step: jax.Array
  params: dict[str, PyTree]
  opt: dict[str, dict[str, optax.OptState]]
  stats: dict[str, PyTree]
  ema: dict[str, PyTree]
  frozen: dict[str, PyTree]

  @property
  def averaged(self) -> "State":
    """The state evaluation uses: weights and averages of `ema`, if any."""
    return self.replace(**self.ema)


class Player(NamedTuple):
  """A turn: which networks move, and by which optimiser.

  Attributes:
    nets: names of the networks that move.
    tx: initialised once per network.
    memory: '' for a memory of its own; two players that give one name share
      the memories of the networks that both move.
    clip: largest global norm of the gradient over the whole turn; 0 = off.
    accumulate: number of equal parts that a batch is cut into.
    convolutional: whether a network of the turn, or a frozen one its loss
      runs, holds a convolution (such loops stay unrolled on CPU).
  """

  nets: tuple[str, ...]
  tx: optax.GradientTransformation
  memory: str = ""
  clip: float = 0.0
  accumulate: int = 1
  convolutional: bool = True


def create(
  params: dict[str, PyTree],
  stats: dict[str, PyTree],
  players: Mapping[str, Player],
  *,
  ema: bool = False,
  frozen: dict[str, PyTree] | None = None,
) -> State:
  """A state at step 0.

  Raises:
    ValueError: if a network has no player or a player names no network.
  """
  moved = {net for player in players.values() for net in player.nets}
  if moved != set(params):
    raise ValueError(
      f"the players must move every network: networks {sorted(params)},"
      f" moved by players {sorted(moved)}"
    )
  opt: dict[str, dict[str, optax.OptState]] = {}
  for name, player in players.items():
    memory = opt.setdefault(player.memory or name, {})
    for net in player.nets:
      memory.setdefault(net, player.tx.init(params[net]))
  return State(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt=opt,
    stats=stats,
    ema=jax.tree.map(jnp.copy, {"params": params, "stats": stats})
    if ema
    else {},
    frozen=frozen or {},
  )


def descend(
  state: State,
  players: Mapping[str, Player],
  who: str,
  loss: Loss,
  data: PyTree,
  *,
  others: dict[str, PyTree] | None = None,
  when: bool | jax.Array = True,
) -> tuple[State, Metrics]:
  """One optimiser move of player `who`; all other networks are constants.

  Args:
    state: the state before the move.
    players: all players of the method.
    who: name of the player that moves.
    loss: `(params, data) -> (scalar, (metrics, stats))`; `metrics` are
      scalars, `stats` the new averages of the networks it ran.
    data: all that has a batch axis, each leaf `[B, ...]`. With
      `accumulate` it is cut into equal parts whose losses and gradients are
      averaged; statistics of the whole batch become those of each part.
    others: weights of the networks that do not move; default the state's.
    when: False leaves weights, memory and stats bit-identical. May be traced.

  Returns:
    The state after the move (`step` untouched) and the metrics.

  Raises:
    ValueError: if the batch cannot be cut into equal parts.
  """
  player = players[who]
  memory = player.memory or who
  fixed = {**state.params, **(others or {})}
  moving = {net: state.params[net] for net in player.nets}

  def objective(moving: dict[str, PyTree], part: PyTree):
    return loss(sharding.gather({**fixed, **moving}), part)

  grads, metrics, stats = _gradient(objective, moving, data, player)
  norm = optax.tree.norm(grads)
  if player.clip:
    scale = jnp.minimum(1.0, player.clip / jnp.maximum(norm, 1e-12))
    grads = jax.tree.map(lambda g: g * scale.astype(g.dtype), grads)
  params, opt = dict(state.params), dict(state.opt[memory])
  for net in player.nets:
    updates, opt[net] = player.tx.update(grads[net], opt[net], moving[net])
    params[net] = optax.apply_updates(moving[net], updates)
  moved = state.replace(
    params=params,
    opt={**state.opt, memory: opt},
    stats={**state.stats, **stats},
  )
  if when is not True:
    moved = jax.tree.map(lambda a, b: jnp.where(when, a, b), moved, state)
  return moved, metrics | {f"grad_norm/{who}": norm}


def descend_together(
  state: State,
  players: Mapping[str, Player],
  losses: Mapping[str, Loss],
  data: PyTree,
) -> tuple[State, Metrics]:
  """One move of each player of `losses`, all from the same weights.

  Args:
    state: the state before all moves.
    players: all players of the method.
    losses: by player, as for `descend`.
    data: as for `descend`.
  """
  others, metrics = state.params, {}
  for who, loss in losses.items():
    state, got = descend(state, players, who, loss, data, others=others)
    metrics |= got
  return state, metrics


def _gradient(
  objective: Loss, moving: dict[str, PyTree], data: PyTree, player: Player
) -> tuple[PyTree, Metrics, dict[str, PyTree]]:
  """Gradient, metrics and stats, averaged over the parts of the batch."""
  gradient = jax.grad(objective, has_aux=True)
  if player.accumulate == 1:
    grads, (metrics, stats) = gradient(moving, data)
    return grads, metrics, stats

  def one(carry: None, part: PyTree):
    grads, (metrics, stats) = gradient(moving, part)
    return carry, (grads, metrics, stats)

  _, parts = scans.scan(
    one,
    None,
    _cut(data, player.accumulate),
    convolutional=player.convolutional,
  )
  return jax.tree.map(lambda x: x.mean(0), parts)


def _cut(data: PyTree, parts: int) -> PyTree:
  """`[B, ...]` -> `[parts, B / parts, ...]`, every parts-th row to one part.

  Strided, not contiguous, so that each device cuts its own rows only.
  """

  def one(x: jax.Array) -> jax.Array:
    if x.shape[0] % parts:
      raise ValueError(
        "config.optimizer.accumulate must divide the batch:"
        f" {x.shape[0]} rows, {parts} parts"
      )
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)

  return jax.tree.map(one, data)


def advance(state: State, ema_decay: float) -> State:
  """Ends a train step: counts it, and moves the averaged weights.

  Args:
    state: the state after the last turn of the step.
    ema_decay: share of the old average that is kept per step; the average
      of a method that was created without one stays empty.
  """
  ema = state.ema
  if ema:
    ema = jax.tree.map(
      lambda a, p: a + (1.0 - ema_decay) * (p - a),
      ema,
      {"params": state.params, "stats": state.stats},
    )
  return state.replace(step=state.step + 1, ema=ema)


def apply(
  net: nn.Module,
  params: PyTree,
  stats: PyTree,
  *inputs: Any,
  train: bool,
  method: str | None = None,
) -> tuple[Any, PyTree]:
  """Runs a Linen network whose only mutable collection is `batch_stats`.

  Args:
    net: a module whose `__call__` takes the keyword `train`.
    params: its weights.
    stats: its normalisation averages; `{}` for a network without any.
    *inputs: its inputs.
    train: whether batch statistics are used and the averages moved.
    method: name of the module's method to run; default `__call__`.

  Returns:
    The output and the averages after it.
  """
  variables = {"params": params, "batch_stats": stats}
  if not train:
    return net.apply(variables, *inputs, train=False, method=method), stats
  out, moved = net.apply(
    variables, *inputs, train=True, method=method, mutable=["batch_stats"]
  )
  return out, moved.get("batch_stats", {})


def initialise(
  net: nn.Module, rng: jax.Array, *inputs: Any
) -> tuple[PyTree, PyTree]:
  """Weights and normalisation averages of a network at the start."""
  variables = _maker(net)(rng, *inputs)
  return variables["params"], variables.get("batch_stats", {})


@functools.lru_cache(maxsize=64)
def _maker(net: nn.Module) -> Callable[..., PyTree]:
  """The compiled initialisation of a network, one for all equal ones."""
  return sharding.compile(
    lambda rng, *inputs: net.init(rng, *inputs, train=False)
  )
