"""VGG-16's taps against a direct computation and published shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genlat import weights
from genlat.nets import vgg

# torchvision's index, input and output channels of the 13 convolutions.
LAYERS = {
  **{0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128)},
  **{10: (128, 256), 12: (256, 256), 14: (256, 256)},
  **{17: (256, 512), 19: (512, 512), 21: (512, 512)},
  **{24: (512, 512), 26: (512, 512), 28: (512, 512)},
}
POOLS = (4, 9, 16, 23, 30)


@pytest.fixture(scope="module")
def arrays():
  """Random weights in the layout of the npz file."""
  rng = np.random.default_rng(0)
  out = {}
  for n, shape in enumerate(LAYERS.values()):
    scale = np.float32(np.sqrt(2 / (9 * shape[0])))
    kernel = rng.standard_normal((3, 3, *shape), np.float32) * scale
    out[f"VGG16_0/Conv_{n}/kernel"] = kernel
    bias = rng.standard_normal(shape[1], np.float32) * np.float32(0.1)
    out[f"VGG16_0/Conv_{n}/bias"] = bias
  return out


def images(side, channels=3, batch=2):
  shape = (batch, side, side, channels)
  return np.random.default_rng(1).random(shape, np.float32)


def direct(arrays, x, last):
  """All activations up to a layer, by the definition, in float64.

  Keys are torchvision's indices; nothing works in place here.
  """
  mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
  x = (x.astype(np.float64) - mean) / std
  out = {}
  for index in range(last + 1):
    if index in LAYERS:
      n = list(LAYERS).index(index)
      kernel = arrays[f"VGG16_0/Conv_{n}/kernel"].astype(np.float64)
      padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
      h, w = x.shape[1:3]
      x = arrays[f"VGG16_0/Conv_{n}/bias"] + sum(
        padded[:, i : i + h, j : j + w] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
      )
    elif index in POOLS:
      h, w = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
      corners = [x[:, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]
      x = np.max(corners, 0)
    else:
      x = np.maximum(x, 0)
    out[index] = x
  return out


# Where each tap is read, as PyTorch's in-place rectifiers make it.
READ = {
  1: (2,),
  2: (3, 7),
  3: (3, 8, 12),
  4: (3, 8, 13, 21),
  5: (3, 8, 13, 22, 30),
}


@pytest.mark.parametrize("levels", READ)
def test_taps_are_those_of_the_definition(arrays, levels):
  # 33 pixels: an odd row and column fall off at the first pool.
  x = images(33, batch=1)
  want = direct(arrays, x, READ[levels][-1])
  params = vgg.load_params(arrays, levels)
  got = jax.jit(vgg.features, static_argnums=2)(params, x, levels)
  assert len(got) == levels
  for tap, index in zip(got, READ[levels], strict=True):
    np.testing.assert_allclose(tap, want[index], rtol=1e-3, atol=1e-4)


def test_the_last_tap_alone_is_not_rectified(arrays):
  taps = vgg.features(vgg.load_params(arrays, 3), images(28), 3)
  assert [float(tap.min()) < 0 for tap in taps] == [False, False, True]


def test_shapes_and_parameters_are_the_published_ones(arrays):
  def all_levels(x, levels):
    return vgg.features(vgg.load_params(arrays, levels), x, levels)

  image = jax.ShapeDtypeStruct((3, 64, 64, 3), jnp.float32)
  taps = jax.eval_shape(lambda x: all_levels(x, 5), image)
  assert [tap.shape for tap in taps] == [
    (3, 64, 64, 64),
    (3, 32, 32, 128),
    (3, 16, 16, 256),
    (3, 8, 8, 512),
    (3, 2, 2, 512),
  ]
  counts = [
    sum(x.size for x in jax.tree.leaves(vgg.load_params(arrays, levels)))
    for levels in (3, 4, 5)
  ]
  assert counts == [1145408, 7635264, 14714688]


def test_grey_images_are_repeated(arrays):
  params = vgg.load_params(arrays, 2)
  grey = images(8, channels=1)
  got = vgg.features(params, grey, 2)
  want = vgg.features(params, np.repeat(grey, 3, -1), 2)
  jax.tree.map(np.testing.assert_array_equal, got, want)


def test_the_pool_has_the_gradient_of_a_window_maximum(arrays):
  """Through two levels, against XLA's own reduction."""
  params = vgg.load_params(arrays, 2)
  x = images(10)

  def windows(x):
    return lax.reduce_window(
      x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )

  def total(x, pool):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(vgg, "_pool", pool)
      return sum(jnp.abs(tap).sum() for tap in vgg.features(params, x, 2))

  got = jax.grad(total)(x, vgg._pool)
  want = jax.grad(total)(x, windows)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * abs(want).max())


def test_half_precision_computes_low_and_returns_float32(arrays):
  params = vgg.load_params(arrays, 1)
  x = images(8)
  (low,) = vgg.features(params, jnp.asarray(x, jnp.bfloat16), 1)
  (high,) = vgg.features(params, x, 1)
  assert low.dtype == jnp.float32
  error = float(jnp.abs(low - high).max() / jnp.abs(high).max())
  assert 1e-5 < error < 0.05


def test_torch_names_are_the_same_network(arrays):
  named = {}
  for n, index in enumerate(LAYERS):
    kernel = arrays[f"VGG16_0/Conv_{n}/kernel"]
    named[f"features.{index}.weight"] = kernel.transpose(3, 2, 0, 1)
    named[f"features.{index}.bias"] = arrays[f"VGG16_0/Conv_{n}/bias"]
  jax.tree.map(
    np.testing.assert_array_equal,
    vgg.load_params(named, 5),
    vgg.load_params(arrays, 5),
  )


def test_mismatches_raise(arrays):
  with pytest.raises(ValueError, match="from 1 to 5; got 6"):
    vgg.load_params(arrays, 6)
  partial = {k: v for k, v in arrays.items() if "Conv_1/" not in k}
  with pytest.raises(ValueError, match="'features.2.weight' is not among"):
    vgg.load_params(partial, 3)
  params = vgg.load_params(arrays, 3)
  for shape in ((1, 3, 8, 3), (1, 8, 8, 2), (8, 8, 3)):
    with pytest.raises(ValueError, match="at least 4 pixels"):
      vgg.features(params, jnp.zeros(shape), 3)


def test_published_weights_by_the_definition(real_data):
  arrays = weights.load(
    real_data / "weights" / "vgg16_lpips_fp16.npz", network="vgg"
  )
  for n, shape in enumerate(LAYERS.values()):
    assert arrays[f"VGG16_0/Conv_{n}/kernel"].shape == (3, 3, *shape)
  x = images(12)
  want = direct(arrays, x, 12)
  got = vgg.features(vgg.load_params(arrays, 3), x, 3)
  for tap, index in zip(got, READ[3], strict=True):
    np.testing.assert_allclose(tap, want[index], rtol=1e-3, atol=1e-3)
