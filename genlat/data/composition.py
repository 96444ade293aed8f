"""Scenes of digits composed anew at each step, on the device.

The same scenes as `genlat.data.scenes` makes on the host of an index, from the
digits of a batch: the digit of a row is its own, what else is in its scene
comes from other rows of the batch. A scene follows from the step's key, the
row, and the digits of the batch; it does not depend on the number of devices.

Digits and pieces are placed by products with matrices of zeros and ones, whose
sums of grey levels are exact in float32, on every platform.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from genlat.data.scenes import CLUTTER_SIDE, PAIR_SIDE, PIECE, PIECES

Batch = dict[str, jax.Array]

KINDS = ("two_digits", "cluttered_mnist")


def compose(batch: Batch, key: jax.Array, kind: str) -> Batch:
  """A batch of scenes of a batch of digits.

  Args:
    batch: 'image' `[B, 28, 28, 1]` uint8, 'label' `[B]` int32, and any others.
    key: of the step.
    kind: 'two_digits' or 'cluttered_mnist'.

  Returns:
    The batch with 'image' `[B, S, S, 1]` uint8, S = 60 or 100; of two digits
    with 'attribute' `[B, 2]`, their labels, in place of 'label'.

  Raises:
    ValueError: for a batch of one row, which has no other digit.
  """
  if kind not in KINDS:
    raise ValueError(f"scenes are {' or '.join(KINDS)}; got {kind!r}")
  digits = batch["image"]
  chex.assert_rank(digits, 4)
  chex.assert_type(digits, jnp.uint8)
  rows = len(digits)
  if max(digits.shape[1:3]) >= PAIR_SIDE or digits.shape[3] != 1:
    raise ValueError(
      f"{kind} is composed of grey digits; got images {list(digits.shape[1:])}:"
      " set config.data.count to a number of fixed scenes"
    )
  if rows < 2:
    raise ValueError(
      f"{kind} is made of other digits of a batch, too: set config.batch_size"
      " to at least 2"
    )
  picking, placing, cutting = jax.random.split(key, 3)
  count = 1 if kind == "two_digits" else PIECES
  own = jnp.arange(rows)[:, None]
  # Of 1 ... B - 1 rows further on: never the row itself.
  away = _integers(picking, rows, (count,), 1, rows)
  others = (own + away) % rows
  pixels, labels = digits[..., 0].astype(jnp.float32), batch["label"]
  if kind == "two_digits":
    side, edge = PAIR_SIDE, digits.shape[1]
    parts = jnp.concatenate([own, others], 1)
    corner = _integers(placing, rows, (2, 2), 0, side - edge + 1)
    scene = _paste(pixels[parts], corner, jnp.zeros_like(corner), edge, side)
    batch = {k: v for k, v in batch.items() if k != "label"}
    batch["attribute"] = labels[parts]
  else:
    side, edge = CLUTTER_SIDE, digits.shape[1]
    at_digit, at_pieces = jax.random.split(placing)
    corner = _integers(at_digit, rows, (1, 2), 0, side - edge + 1)
    whole = jnp.zeros_like(corner)
    scene = _paste(pixels[own], corner, whole, edge, side)
    corner = _integers(at_pieces, rows, (count, 2), 0, side - PIECE + 1)
    cut = _integers(cutting, rows, (count, 2), 0, edge - PIECE + 1)
    scene += _paste(pixels[others], corner, cut, PIECE, side)
  return {**batch, "image": jnp.minimum(scene, 255.0).astype(jnp.uint8)}


def row_keys(key: jax.Array, count: int) -> jax.Array:
  """`[count]` keys, one a row of the global batch."""
  return jax.vmap(jax.random.fold_in, (None, 0))(
    key, jnp.arange(count, dtype=np.uint32)
  )


def _integers(
  key: jax.Array, rows: int, shape: tuple[int, ...], low: int, high: int
) -> jax.Array:
  """Uniform on low ... high - 1, `[rows, *shape]`, a key a row."""
  draw = lambda k: jax.random.randint(k, shape, low, high)
  return jax.vmap(draw)(row_keys(key, rows))


def _paste(
  images: jax.Array, corner: jax.Array, cut: jax.Array, size: int, side: int
) -> jax.Array:
  """Squares of images on black, added up.

  Args:
    images: `[B, P, h, w]` float32.
    corner: upper left corner of each on the canvas, `[B, P, 2]`.
    cut: upper left corner of what is taken of each, `[B, P, 2]`.
    size: pixels a side that are taken.
    side: pixels a side of the canvas.

  Returns:
    `[B, side, side, 1]` float32.
  """
  at = np.arange(side)[None, None, :, None]

  def placed(axis: int, edge: int) -> jax.Array:
    """`[B, P, side, edge]`: which pixel of the image a canvas pixel shows."""
    offset = at - corner[..., axis, None, None]
    source = offset + cut[..., axis, None, None]
    inside = (offset >= 0) & (offset < size)
    shown = source == np.arange(edge)[None, None, None]
    return (shown & inside).astype(jnp.float32)

  down, across = placed(0, images.shape[2]), placed(1, images.shape[3])
  # Grey levels are exact in bfloat16, too, should a platform round to it.
  rows = jnp.einsum("bpyh,bphw->bpyw", down, images)
  return jnp.einsum("bpyw,bpxw->byx", rows, across)[..., None]
