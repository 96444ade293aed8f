"""A small convolutional classifier, for scores of class-conditional samples."""

import chex
import jax
from flax import linen as nn


class Classifier(nn.Module):
  """Images `[B, H, W, C]` to logits `[B, classes]`.

  Two 3x3 convolutions a width, the second of stride 2, with group
  normalisation: no statistics that a set of samples could move.

  Attributes:
    classes: number of logits.
    channels: widths.
  """

  classes: int
  channels: tuple[int, ...] = (32, 64, 128)

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Classifies images of [-1, 1]."""
    chex.assert_rank(x, 4)
    for level, features in enumerate(self.channels):
      for half, stride in enumerate((1, 2)):
        x = nn.Conv(
          features,
          (3, 3),
          strides=(stride, stride),
          padding=1,
          use_bias=False,
          name=f"conv_{level}_{half}",
        )(x)
        x = nn.GroupNorm(num_groups=8, name=f"norm_{level}_{half}")(x)
        x = nn.relu(x)
    return nn.Dense(self.classes, name="head")(x.mean((1, 2)))
