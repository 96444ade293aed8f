"""InceptionV3 against a plain reference, and against published numbers."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genlat import weights
from genlat.metrics import resize
from genlat.nets import inception, inception_names

# Small images still leave 3x3 pixels to the last blocks.
SIDE = 139


def kernels():
  """Height and width of the published kernels that are not 1x1."""
  sizes = dict.fromkeys(("conv", "conv_1", "conv_2", "conv_4"), (3, 3))
  for b in ("mixed", "mixed_1", "mixed_2"):
    sizes |= {f"{b}/tower/conv_1": (5, 5)}
    sizes |= {f"{b}/tower_1/conv_{i}": (3, 3) for i in (1, 2)}
  sizes |= {"mixed_3/conv": (3, 3)}
  sizes |= {f"mixed_3/tower/conv_{i}": (3, 3) for i in (1, 2)}
  for b in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
    sizes |= {f"{b}/tower/conv_1": (1, 7), f"{b}/tower/conv_2": (7, 1)}
    sizes |= {f"{b}/tower_1/conv_{i}": (7, 1) for i in (1, 3)}
    sizes |= {f"{b}/tower_1/conv_{i}": (1, 7) for i in (2, 4)}
  sizes |= {"mixed_8/tower/conv_1": (3, 3), "mixed_8/tower_1/conv_3": (3, 3)}
  sizes |= {"mixed_8/tower_1/conv_1": (1, 7), "mixed_8/tower_1/conv_2": (7, 1)}
  for b in ("mixed_9", "mixed_10"):
    sizes |= {f"{b}/tower_1_conv_1": (3, 3)}
    for tower in ("tower", "tower_1"):
      sizes |= {f"{b}/{tower}_mixed_conv": (1, 3)}
      sizes |= {f"{b}/{tower}_mixed_conv_1": (3, 1)}
  return sizes


def channels_in(name, width):
  """Input channels where every convolution has `width` outputs."""
  if "/" not in name:
    return 3 if name == "conv" else width
  block, _, rest = name.partition("/")
  index = int(block.removeprefix("mixed").lstrip("_") or 0)
  heads = ("conv", "tower/conv", "tower_1/conv", "tower_2/conv")
  if index >= 9:
    heads = ("conv", "tower_conv", "tower_1_conv", "tower_2_conv")
  if rest not in heads:
    return width
  # What each block hands on: its branches, and the input where it is pooled.
  outputs = [1, 4, 4, 4, 6, 4, 4, 4, 4, 6, 6]
  return outputs[index] * width


@pytest.fixture(scope="module")
def arrays():
  """The published layout with 4 channels everywhere."""
  rng = np.random.default_rng(0)
  width = 4
  sizes = kernels()
  out = {}
  for name in inception_names.CONVOLUTIONS.values():
    shape = (width, channels_in(name, width), *sizes.get(name, (1, 1)))
    scale = np.sqrt(2 / np.prod(shape[1:]))
    out[f"{name}:weight"] = rng.normal(size=shape) * scale
    out[f"{name}:beta"] = rng.normal(size=width) * 0.2
    out[f"{name}:mean"] = rng.normal(size=width) * 0.2
    out[f"{name}:var"] = rng.uniform(0.5, 2, size=width)
  return {k: v.astype(np.float32) for k, v in out.items()}


def convolve(arrays, name, x, stride=1, padded=True):
  y = lax.conv_general_dilated(
    x,
    arrays[f"{name}:weight"],
    (stride, stride),
    "SAME" if padded else "VALID",
    dimension_numbers=("NHWC", "OIHW", "NHWC"),
  )
  mean, var, beta = (
    arrays[f"{name}:{part}"].reshape(1, 1, 1, -1)
    for part in ("mean", "var", "beta")
  )
  return jnp.maximum((y - mean) / jnp.sqrt(var + 1e-3) + beta, 0)


def pool(x, stride, padding, start, op):
  window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
  return lax.reduce_window(x, start, op, window, strides, padding)


def mean_pool(x):
  inside = pool(jnp.ones_like(x), 1, "SAME", 0.0, lax.add)
  return pool(x, 1, "SAME", 0.0, lax.add) / inside


def max_pool(x, stride=2, padding="VALID"):
  return pool(x, stride, padding, -jnp.inf, lax.max)


def reference(arrays, x):
  """The network, layer by layer, as published; its four taps."""
  taps = []

  def tower(x, *names, **last):
    for name in names[:-1]:
      x = convolve(arrays, name, x)
    return convolve(arrays, names[-1], x, **last)

  down = dict(stride=2, padded=False)
  join = lambda *branches: jnp.concatenate(branches, -1)
  x = convolve(arrays, "conv", x, **down)
  x = convolve(arrays, "conv_1", x, padded=False)
  x = max_pool(convolve(arrays, "conv_2", x))
  taps.append(x.mean((1, 2)))
  x = convolve(arrays, "conv_3", x)
  x = max_pool(convolve(arrays, "conv_4", x, padded=False))
  taps.append(x.mean((1, 2)))
  for b in ("mixed", "mixed_1", "mixed_2"):
    x = join(
      tower(x, f"{b}/conv"),
      tower(x, f"{b}/tower/conv", f"{b}/tower/conv_1"),
      tower(x, *(f"{b}/tower_1/conv{i}" for i in ("", "_1", "_2"))),
      tower(mean_pool(x), f"{b}/tower_2/conv"),
    )
  b = "mixed_3"
  x = join(
    tower(x, f"{b}/conv", **down),
    tower(x, *(f"{b}/tower/conv{i}" for i in ("", "_1", "_2")), **down),
    max_pool(x),
  )
  for b in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
    x = join(
      tower(x, f"{b}/conv"),
      tower(x, *(f"{b}/tower/conv{i}" for i in ("", "_1", "_2"))),
      tower(x, *(f"{b}/tower_1/conv{i}" for i in ("", "_1", "_2", "_3", "_4"))),
      tower(mean_pool(x), f"{b}/tower_2/conv"),
    )
  taps.append(x.mean((1, 2)))
  b = "mixed_8"
  x = join(
    tower(x, f"{b}/tower/conv", f"{b}/tower/conv_1", **down),
    tower(x, *(f"{b}/tower_1/conv{i}" for i in ("", "_1", "_2", "_3")), **down),
    max_pool(x),
  )
  for b in ("mixed_9", "mixed_10"):
    first = tower(x, f"{b}/tower_conv")
    second = tower(x, f"{b}/tower_1_conv", f"{b}/tower_1_conv_1")
    # The quirk: the last block pools with a maximum.
    pooled = mean_pool(x) if b == "mixed_9" else max_pool(x, 1, "SAME")
    x = join(
      tower(x, f"{b}/conv"),
      tower(first, f"{b}/tower_mixed_conv"),
      tower(first, f"{b}/tower_mixed_conv_1"),
      tower(second, f"{b}/tower_1_mixed_conv"),
      tower(second, f"{b}/tower_1_mixed_conv_1"),
      tower(pooled, f"{b}/tower_2_conv"),
    )
  taps.append(x.mean((1, 2)))
  return taps


@pytest.fixture(scope="module")
def images():
  shape = (2, SIDE, SIDE, 3)
  return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def test_every_tap_is_that_of_the_plain_network(arrays, images):
  params = inception.load_params(arrays)
  expected = jax.jit(reference)(arrays, images)
  assert float(jnp.ptp(expected[-1])) > 0.01

  @jax.jit
  def taps(params, images):
    return [inception.features(params, images, tap) for tap in inception.TAPS]

  for got, want in zip(taps(params, images), expected, strict=True):
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


# One of each kind, written out.
TORCH = {
  "Conv2d_4a_3x3": "conv_4",
  "Mixed_5b.branch5x5_2": "mixed/tower/conv_1",
  "Mixed_5d.branch3x3dbl_3": "mixed_2/tower_1/conv_2",
  "Mixed_5c.branch_pool": "mixed_1/tower_2/conv",
  "Mixed_6a.branch3x3": "mixed_3/conv",
  "Mixed_6a.branch3x3dbl_1": "mixed_3/tower/conv",
  "Mixed_6b.branch1x1": "mixed_4/conv",
  "Mixed_6e.branch7x7_2": "mixed_7/tower/conv_1",
  "Mixed_6c.branch7x7dbl_5": "mixed_5/tower_1/conv_4",
  "Mixed_7a.branch3x3_2": "mixed_8/tower/conv_1",
  "Mixed_7a.branch7x7x3_4": "mixed_8/tower_1/conv_3",
  "Mixed_7b.branch3x3_1": "mixed_9/tower_conv",
  "Mixed_7b.branch3x3_2a": "mixed_9/tower_mixed_conv",
  "Mixed_7c.branch3x3_2b": "mixed_10/tower_mixed_conv_1",
  "Mixed_7c.branch3x3dbl_2": "mixed_10/tower_1_conv_1",
  "Mixed_7c.branch3x3dbl_3a": "mixed_10/tower_1_mixed_conv",
  "Mixed_7b.branch3x3dbl_3b": "mixed_9/tower_1_mixed_conv_1",
}


def torch_names(arrays):
  parts = dict(
    weight="conv.weight",
    gamma="bn.weight",
    beta="bn.bias",
    mean="bn.running_mean",
    var="bn.running_var",
  )
  back = {v: k for k, v in inception_names.CONVOLUTIONS.items()}
  pairs = (key.split(":") for key in arrays)
  return {
    f"{back[name]}.{parts[part]}": arrays[f"{name}:{part}"]
    for name, part in pairs
  }


def test_torch_names_are_the_same_network(arrays):
  named = torch_names(arrays)
  for torch, name in TORCH.items():
    np.testing.assert_array_equal(
      named[f"{torch}.conv.weight"], arrays[f"{name}:weight"]
    )
  # What PyTorch's file holds besides is left out.
  named["fc.weight"] = np.zeros((1008, 2048), np.float32)
  jax.tree.map(
    np.testing.assert_array_equal,
    inception.load_params(named),
    inception.load_params(arrays),
  )


def test_gamma_scales_the_normalised_output(arrays):
  doubled = dict(arrays) | {"conv:gamma": np.full(4, 2.0, np.float32)}
  plain, scaled = (
    inception.load_params(a)[""]["conv"] for a in (arrays, doubled)
  )
  np.testing.assert_allclose(scaled["kernel"], 2 * plain["kernel"], rtol=1e-6)
  beta = arrays["conv:beta"]
  np.testing.assert_allclose(
    scaled["bias"] - beta, 2 * (plain["bias"] - beta), rtol=1e-5
  )


def test_what_is_missing_is_named(arrays, images):
  partial = {k: v for k, v in arrays.items() if k != "mixed_9/conv:var"}
  with pytest.raises(ValueError, match="mixed_9/conv:var is not among"):
    inception.load_params(partial)
  with pytest.raises(ValueError, match=r"\(64, 192, 768, 2048\); got 100"):
    inception.features({}, jnp.asarray(images), 100)


def test_the_published_file_has_the_layout_of_the_tests(real_data):
  arrays = weights.load(real_data / "weights" / "inception_fid_fp16.npz")
  shapes = {k[:-7]: v.shape for k, v in arrays.items() if ":weight" in k}
  assert set(shapes) == set(inception_names.CONVOLUTIONS.values())
  found = {name: shape[2:] for name, shape in shapes.items()}
  assert {k: v for k, v in found.items() if v != (1, 1)} == kernels()


@pytest.fixture(scope="module")
def published(real_data):
  path = real_data / "weights" / "inception_fid_fp16.npz"
  params = inception.load_params(weights.load(path, network="inception"))

  @jax.jit
  def features(params, images):
    pixels = resize.tf1(images, inception.SIZE)
    return inception.features(params, (pixels - 128) / 128)

  return lambda images: np.asarray(features(params, images))


def test_published_weights_on_a_drawn_pair(published):
  y, x, c = np.mgrid[:32, :32, :3]
  pair = np.stack([(8 * x + 40 * c) % 256, (x * y + 16 * c) % 256])
  got = published(pair.astype(np.uint8))
  np.testing.assert_allclose(got.mean(1), [0.183571, 0.310473], atol=2e-5)
  first = [0.820896, 0.002842, 0.092404, 0.014341, 0.014261]
  np.testing.assert_allclose(got[0, :5], first, atol=2e-5)
  assert got.argmax(1).tolist() == [317, 580]


def test_published_weights_on_cifar10(published):
  path = os.environ.get("GENLAT_CIFAR10", "")
  if not path:
    pytest.skip("GENLAT_CIFAR10 names no cifar10.npz")
  with np.load(path, allow_pickle=False) as archive:
    got = published(archive["x_test"][:2])
  np.testing.assert_allclose(got.mean(1), [0.37719, 0.33371], atol=2e-5)
  first = [0.19319, 0.18764, 0.66408, 0.29605, 0.51881]
  np.testing.assert_allclose(got[0, :5], first, atol=2e-5)
  assert got.argmax(1).tolist() == [1774, 178]
