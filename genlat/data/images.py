"""What happens to a batch of uint8 images on the device, inside the step.

All functions are pure and act row by row. The randomness of a row comes from
the step's key and the row's position in the global batch, or, where a draw is
fixed for good, from the example's position in its source. It does not depend
on the size of the batch or on the number of devices.

Binarisation: 'dynamic' draws each pixel anew at each visit from a Bernoulli
law with the grey level as its mean (Salakhutdinov & Murray, ICML 2008).
'fixed' draws it once for good, as in the binarised MNIST of Larochelle &
Murray (AISTATS 2011). It is a draw of the same law but not their file, so
likelihoods agree with those on their file in distribution only.

Squares at random places are cut in training; all else reads central ones, from
`crops.central`, which come here cut already.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genlat import sharding
from genlat.data import crops
from genlat.data.composition import KINDS, compose, row_keys

Batch = dict[str, jax.Array]

BINARISE = ("none", "fixed", "dynamic")

# The key of all draws that are fixed for good: changing it changes the data.
_FIXED = 2011


@dataclasses.dataclass(frozen=True)
class Preparation:
  """How uint8 images become the float images that a method is given.

  Attributes:
    flip: whether images are mirrored left to right with probability 1/2; in
      training only.
    dequantise: whether uniform noise of one grey level is added.
    binarise: 'none', 'fixed' or 'dynamic'.
    scene: what is composed of a batch of digits in training; '' = nothing.
    random_crop: pixels of the square that is cut at a random place, in
      training only; 0 = images stay whole.
  """

  flip: bool
  dequantise: bool
  binarise: str
  random_crop: int
  scene: str = ""

  def __post_init__(self) -> None:
    """Checks the fields."""
    if self.binarise not in BINARISE:
      raise ValueError(
        f"config.data.binarise must be one of {', '.join(BINARISE)};"
        f" got {self.binarise!r}"
      )
    if self.dequantise and self.binarise != "none":
      raise ValueError(
        "config.data.dequantise adds noise to grey levels, and"
        f" config.data.binarise={self.binarise} leaves none; set"
        " config.data.dequantise=False or config.data.binarise=none"
      )
    if self.random_crop and self.binarise == "fixed":
      raise ValueError(
        "config.data.binarise=fixed draws an image's pixels once for good, and"
        f" config.data.random_crop={self.random_crop} would draw those of each"
        " square anew; set config.data.binarise=dynamic or"
        " config.data.random_crop=0"
      )
    if self.scene and self.binarise == "fixed":
      raise ValueError(
        "config.data.binarise=fixed draws an image's pixels once for good, and"
        f" {self.scene} makes its scenes anew; set config.data.binarise=dynamic"
        " or config.data.count to a number of fixed scenes"
      )

  @classmethod
  def from_config(cls, config: Any) -> "Preparation":
    """From `config.data`: the fields by name, and what scene it asks for."""
    anew = config.name in KINDS and not config.count
    return cls(
      config.flip,
      config.dequantise,
      config.binarise,
      crops.side_of(config),
      config.name if anew else "",
    )

  def __call__(self, batch: Batch, key: jax.Array, train: bool) -> Batch:
    """Applies `prepare_batch`; composes, cuts and flips in training only."""
    if self.scene and train:
      composing, key = jax.random.split(key)
      # Without it every device would compose the whole batch.
      batch = sharding.split_rows(compose(batch, composing, self.scene))
    return prepare_batch(
      batch,
      key,
      flip=self.flip and train,
      dequantise=self.dequantise,
      binarise=self.binarise,
      random_crop=self.random_crop if train else 0,
    )


def prepare_batch(
  batch: Batch,
  key: jax.Array,
  *,
  flip: bool,
  dequantise: bool,
  binarise: str,
  random_crop: int,
) -> Batch:
  """Turns the images of a batch into floats.

  Args:
    batch: 'image' `[B, H, W, C]` uint8, 'index' `[B]` int32 and any others.
    key: of the step.
    flip: whether to mirror each image with probability 1/2.
    dequantise: whether to add noise; instead of binarising.
    binarise: 'none', 'fixed' or 'dynamic'.
    random_crop: pixels of the square to cut from each image; 0 = none.

  Returns:
    The batch with 'image' `[B, H, W, C]` float32 in [0, 1]; H and W are those
    of the square where one is cut.
  """
  images = batch["image"]
  chex.assert_rank(images, 4)
  chex.assert_type(images, jnp.uint8)
  if random_crop:  # Before the draws, so that none is made in vain.
    cropping, key = jax.random.split(key)
    keys = row_keys(cropping, images.shape[0])
    images = cropped(images, keys, random_crop)
  drawing, flipping = jax.random.split(key)
  if dequantise:
    images = dequantised(images, row_keys(drawing, images.shape[0]))
  elif binarise == "fixed":
    chex.assert_shape(batch["index"], images.shape[:1])
    images = binarised(images, example_keys(batch["index"]))
  elif binarise == "dynamic":
    images = binarised(images, row_keys(drawing, images.shape[0]))
  else:
    images = scaled(images)
  if flip:  # Last, so that an example's fixed draw is flipped as a whole.
    images = flipped(images, row_keys(flipping, images.shape[0]))
  return {**batch, "image": images}


def example_keys(indices: jax.Array) -> jax.Array:
  """`[B]` keys that follow from the positions `[B]` in the source alone."""
  # Not the default generator: a flag of JAX could change that, and the data.
  key = jax.random.key(_FIXED, impl="threefry2x32")
  return jax.vmap(jax.random.fold_in, (None, 0))(key, indices)


def scaled(images: jax.Array) -> jax.Array:
  """uint8 images as float32 in [0, 1], grey level 255 being 1."""
  # XLA turns a division by a constant into this where it likes; NumPy does not.
  return images.astype(np.float32) * np.float32(1 / 255)


def dequantised(images: jax.Array, keys: jax.Array) -> jax.Array:
  """(x + u) / 256 with u uniform on [0, 1), after Theis et al., ICLR 2016.

  u is a multiple of 2**-16, so that the sum is exact in float32: the result
  lies below 1, as a logit needs, and its grey level can be read off it.

  Args:
    images: `[B, H, W, C]` uint8.
    keys: `[B]`.

  Returns:
    `[B, H, W, C]` float32 in [0, 1).
  """
  shape = images.shape[1:]
  noise = jax.vmap(lambda key: jax.random.bits(key, shape, np.uint16))(keys)
  exact = (images.astype(np.uint32) << np.uint32(16)) | noise
  return exact.astype(np.float32) * np.float32(2.0**-24)


def binarised(images: jax.Array, keys: jax.Array) -> jax.Array:
  """Bernoulli draws, 0.0 or 1.0, with the grey levels x / 255 as means.

  Args:
    images: `[B, H, W, C]` uint8.
    keys: `[B]`.
  """
  draw = jax.vmap(jax.random.bernoulli)
  return draw(keys, scaled(images)).astype(np.float32)


def flipped(images: jax.Array, keys: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability 1/2.

  Args:
    images: `[B, H, W, C]`.
    keys: `[B]`.
  """
  coin = jax.vmap(jax.random.bernoulli)(keys)
  return jnp.where(coin[:, None, None, None], images[:, :, ::-1], images)


def cropped(images: jax.Array, keys: jax.Array, side: int) -> jax.Array:
  """Cuts a square from each image, at a place uniform over all that hold it.

  Args:
    images: `[B, H, W, C]`, H and W at least `side`.
    keys: `[B]`.
    side: pixels.

  Returns:
    `[B, side, side, C]`.
  """
  room = np.array(images.shape[1:3], np.int32) - np.int32(side - 1)

  def one(image: jax.Array, key: jax.Array) -> jax.Array:
    top, left = jax.random.randint(key, (2,), 0, room)
    return lax.dynamic_slice(
      image, (top, left, 0), (side, side, image.shape[-1])
    )

  return jax.vmap(one)(images, keys)
