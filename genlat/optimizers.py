"""Optimisers, schedules and players from the configuration.

`config.optimizer` is the default of every player; `config.players.<name>`
carries only what differs and wins, except `lr_scale`, which multiplies, so
that `--config.optimizer.lr=3e-4` moves all players.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from genlat.state import Player

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "step")


def learning_rate(settings: ConfigDict, steps: int, epoch: int):
  """The learning rate as a function of a player's own number of moves.

  Args:
    settings: one player's merged optimiser block.
    steps: train steps of the whole run.
    epoch: train steps of one epoch.

  Returns:
    An optax schedule: warm-up from 0 over `warmup` steps, then constant,
    halved every `decay_every` epochs ('step', by `decay_factor`), or a half
    cosine down to 0 at the last step ('cosine').

  Raises:
    ValueError: for an unknown schedule or impossible values.
  """
  peak = settings.lr * settings.lr_scale
  if settings.schedule == "constant":
    schedule = optax.constant_schedule(peak)
  elif settings.schedule == "step":
    every = round(settings.decay_every * epoch)
    if every < 1:
      raise ValueError(
        "config.optimizer.decay_every must be at least one step of an epoch;"
        f" got {settings.decay_every} epochs"
      )
    schedule = optax.exponential_decay(
      peak, every, settings.decay_factor, staircase=True
    )
  elif settings.schedule == "cosine":
    schedule = optax.cosine_decay_schedule(
      peak, max(1, steps - settings.warmup)
    )
  else:
    raise ValueError(
      f"config.optimizer.schedule must be one of {', '.join(SCHEDULES)};"
      f" got {settings.schedule!r}"
    )
  if not settings.warmup:
    return schedule
  ramp = optax.linear_schedule(0.0, peak, settings.warmup)
  return optax.join_schedules([ramp, schedule], [settings.warmup])


def transformation(
  settings: ConfigDict, steps: int, epoch: int
) -> optax.GradientTransformation:
  """The optax chain of one player.

  `l2` adds its multiple of the weights to the gradient before the moments
  are taken (as `weight_decay` of PyTorch's Adam does); `weight_decay` is
  the decoupled form and belongs to adamw.

  Raises:
    ValueError: for an unknown optimiser or values out of range.
  """
  if settings.lr <= 0:
    raise ValueError(f"config.optimizer.lr must be above 0; got {settings.lr}")
  schedule = learning_rate(settings, steps, epoch)
  if settings.weight_decay and settings.name != "adamw":
    raise ValueError(
      "config.optimizer.weight_decay is adamw's decoupled decay; set"
      " config.optimizer.name=adamw, or use config.optimizer.l2"
    )
  moments = {"b1": settings.b1, "b2": settings.b2, "eps": settings.eps}
  if settings.name == "adam":
    core = optax.adam(schedule, **moments)
  elif settings.name == "adamw":
    core = optax.adamw(schedule, **moments, weight_decay=settings.weight_decay)
  elif settings.name == "rmsprop":
    core = optax.rmsprop(schedule, decay=settings.b2, eps=settings.eps)
  elif settings.name == "sgd":
    core = optax.sgd(schedule, momentum=settings.momentum or None)
  else:
    raise ValueError(
      f"config.optimizer.name must be one of {', '.join(OPTIMIZERS)};"
      f" got {settings.name!r}"
    )
  if settings.l2:
    return optax.chain(optax.add_decayed_weights(settings.l2), core)
  return core


def settings_of(config: ConfigDict, player: str) -> ConfigDict:
  """`config.optimizer` with what `config.players.<player>` changes.

  Raises:
    ValueError: if the player's block has a key that optimisers do not have.
  """
  merged = ConfigDict(config.optimizer.to_dict())
  own = config.players.get(player, {})
  for key in own:
    if key not in merged:
      raise ValueError(
        f"config.players.{player}.{key} is no optimiser key; known:"
        f" {', '.join(sorted(merged))}"
      )
    merged[key] = own[key]
  merged.lr_scale = config.optimizer.lr_scale * own.get("lr_scale", 1.0)
  return merged


def players(
  config: ConfigDict,
  turns: Mapping[str, tuple[str, ...]],
  *,
  memories: Mapping[str, str] | None = None,
  dense: tuple[str, ...] = (),
  idle: tuple[str, ...] = (),
) -> dict[str, Player]:
  """All players of a method.

  Args:
    config: the run's configuration, with `steps` and `epoch_steps` resolved.
    turns: by player, the networks that it moves.
    memories: by player, the name of a shared optimiser memory.
    dense: players whose turns run no convolution.
    idle: players that the method has in another game; their blocks may stay.

  Raises:
    ValueError: if `config.players` names a player the method does not have, or
      players of one memory have unlike optimisers, or schedules that it would
      count twice a step.
  """
  known = dict.fromkeys((*turns, *idle))
  unknown = set(config.players) - set(known)
  if unknown:
    raise ValueError(
      f"config.players.{sorted(unknown)[0]}: {config.method} has no such"
      f" player; known: {', '.join(known)}"
    )
  # Of the idle, too: their keys, at least, are those of an optimiser.
  settings = {name: settings_of(config, name) for name in known}
  made = {}
  for name, nets in turns.items():
    own = settings[name]
    made[name] = Player(
      nets=nets,
      tx=transformation(own, config.steps, config.epoch_steps),
      memory=(memories or {}).get(name, ""),
      clip=own.clip,
      accumulate=own.accumulate,
      convolutional=name not in dense,
    )
  for name, memory in (memories or {}).items():
    if memory in made and name in made:
      _check_shared(settings, made, name, memory)
  return made


def _check_shared(
  settings: Mapping[str, ConfigDict],
  made: Mapping[str, Player],
  one: str,
  other: str,
) -> None:
  """Raises ValueError for players that cannot share a memory."""
  a, b = settings[one], settings[other]
  weight = {"w": jnp.zeros(())}
  forms = {jax.tree.structure(made[p].tx.init(weight)) for p in (one, other)}
  if a.name != b.name or len(forms) > 1:
    unlike = [k for k in ("name", "l2", "momentum") if a[k] != b[k]]
    raise ValueError(
      f"players {one} and {other} share one memory and need one form of"
      f" optimiser; config.players gives them unlike {' and '.join(unlike)}"
    )
  for own in (a, b):
    if own.schedule != "constant" or own.warmup:
      raise ValueError(
        f"players {one} and {other} share one memory, which would count each"
        " step twice: config.optimizer.schedule must be constant and warmup 0"
      )
