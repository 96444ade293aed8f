"""Steps in which only some players move, and what has moved."""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax

from genlat.methods.method import Method


def differ(a: Any, b: Any) -> bool:
  """Whether two trees of one structure differ in any bit."""
  return any(
    not np.array_equal(x, y)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )


def step(method: Method) -> Any:
  """The compiled train step, given also the share by which each player moves.

  One program for all players: (state, batch, key, shares by name).
  """

  @jax.jit
  def compiled(state, batch, key, shares):
    some = {
      who: player._replace(tx=_scaled(player.tx, shares[who]))
      for who, player in method.players.items()
    }
    return dataclasses.replace(method, players=some).train_step(
      state, batch, key
    )

  return compiled


def _scaled(
  tx: optax.GradientTransformation, by: jax.Array
) -> optax.GradientTransformation:
  """The same memory, its motion times a number."""

  def update(grads, memory, params=None):
    updates, memory = tx.update(grads, memory, params)
    return jax.tree.map(lambda u: by * u, updates), memory

  return optax.GradientTransformation(tx.init, update)
