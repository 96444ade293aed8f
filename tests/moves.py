"""Steps on digits, or of some players alone, and what has moved."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genlat import data
from genlat.methods.method import Method
from genlat.state import State
from tests import shipped


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


def on_digits(method: Method, state: State, steps: int) -> list[Any]:
  """The metrics of each step, all finite, of 32 digits of 8x8 pixels each."""
  settings = shipped.config("glf_digits").data
  settings.image_size = 8
  images = data.load(settings, "train").read(np.arange(32 * 40))["image"]
  images = jnp.asarray(images, jnp.float32) / 255.0
  step, log = jax.jit(method.train_step), []
  for i in range(steps):
    batch = {"image": images[32 * (i % 40) :][:32]}
    state, metrics = step(state, batch, jax.random.key(i))
    log.append({k: float(v) for k, v in metrics.items()})
  assert all(np.isfinite(list(m.values())).all() for m in log)
  return log
