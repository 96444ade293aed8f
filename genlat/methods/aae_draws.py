"""What a step of an adversarial autoencoder draws."""

import chex
import jax
import jax.numpy as jnp

from genlat.losses import ranking
from genlat.methods.aae_config import Game
from genlat.methods.method import Batch

Data = dict[str, jax.Array]


def draws(game: Game, batch: Batch, rng: jax.Array) -> Data:
  """Images of [-1, 1], and noise and conditions of both phases.

  Labels of the data are read by the supervised game alone, captions by that
  of text.

  Raises:
    ValueError: where it needs labels or captions and the batch has none.
  """
  rows = batch["image"].shape[0]
  keys = jax.random.split(rng, 7 if game.coverage else 6)
  data = {"image": 2.0 * batch["image"] - 1.0}
  need = {"supervised": "label", "text": "text"}.get(game.condition)
  if need and need not in batch:
    raise ValueError(
      f"aae.condition {game.condition} needs a batch with {need!r}: set"
      " config.data to a set that has it, or another config.aae.condition"
    )
  for phase, key, on_noise in zip(("", "_2"), keys[:2], keys[2:4], strict=True):
    label = batch["label"] if need == "label" else uniform(game, key, rows)
    data[f"label{phase}"] = label.astype(jnp.int32)
    data[f"noise{phase}"] = game.draw(on_noise, rows, label)
    if game.text:
      # One of the captions of each image.
      texts = batch["text"]
      which = jax.random.randint(key, (rows, 1, 1), 0, texts.shape[1])
      told = jnp.take_along_axis(texts, which, 1)[:, 0]
      data[f"given{phase}"] = told
      k = min(game.wrong_captions, rows)
      others = of_others(told, texts, k, likest=game.likest_captions)
      data[f"other{phase}"] = others
    elif game.told:
      data[f"given{phase}"] = jax.nn.one_hot(label, game.classes)
  if game.coverage:
    many = rows * game.coverage_draws
    cover = game.draw(keys[6], many, jnp.zeros((many,), jnp.int32))
    data["cover"] = cover.reshape(rows, -1, game.noise)
  data["posterior"] = jax.random.normal(keys[4], (rows, game.latent))
  data["mix"] = jax.random.uniform(keys[5], (rows, 3))
  return data


def of_others(
  told: jax.Array, texts: jax.Array, k: int, *, likest: bool
) -> jax.Array:
  """Captions of other images in the batch.

  A random one is told from an image by its largest difference alone, such as
  the ground of a shape; the likest has to be looked at in all it says. But
  where captions do not say all of an image the likest may be true of it.

  Args:
    told: `[B, t]`, of one caption of each image.
    texts: all captions of each image, `[B, m, t]`. Rows of which one has the
      other's told caption are of one scene, and no mismatch.
    k: how many, at most B.
    likest: the most similar ones; otherwise those of the next rows, which are
      random where the batch is.

  Returns:
    `[B, k, t]`, the likest or the next first; the row's own in place of those
    that there are not.
  """
  chex.assert_rank([told, texts], [2, 3])
  shared = (texts[:, :, None] == told[None, None]).all(-1).any(1)
  if likest:
    unit = ranking.unit(told)
    order = unit @ unit.T
  else:
    place = jnp.arange(len(told))
    order = -((place[None] - place[:, None]) % len(told)).astype(jnp.float32)
  order = jnp.where(shared | shared.T, -jnp.inf, order)
  values, rows = jax.lax.top_k(order, k)
  return jnp.where(jnp.isfinite(values)[..., None], told[rows], told[:, None])


def uniform(game: Game, rng: jax.Array, rows: int) -> jax.Array:
  """Labels drawn uniformly, int `[rows]`; 0 without any."""
  return jax.random.randint(rng, (rows,), 0, max(game.classes, 1))
