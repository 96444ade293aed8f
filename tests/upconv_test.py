"""The fast up-convolution is `nn.ConvTranspose` in all but speed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from genlat import sharding
from genlat.nets import upconv

SIZES = [(4, 2), (5, 2), (3, 2), (1, 2), (4, 3)]


def _plain(x, kernel, strides=2):
  return lax.conv_transpose(x, kernel, (strides, strides), "SAME")


def _inputs(kernel=4, batch=4):
  random = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
  return draw(batch, 3, 5, 2), draw(kernel, kernel, 2, 3)


def _close(a, b, tolerance):
  a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
  assert a.shape == b.shape
  np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max(), rtol=0)


def _gradients(fn, x, w):
  """Of a loss in which every output has its own weight."""

  def loss(x, w):
    y = fn(x, w)
    return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum()

  return jax.jit(jax.grad(loss, (0, 1)))(x, w)


@pytest.mark.parametrize("kernel,strides", SIZES)
def test_values_are_those_of_the_transposed_convolution(kernel, strides):
  x, w = _inputs(kernel)
  ours = jax.jit(functools.partial(upconv.up_convolve, strides=strides))
  theirs = jax.jit(functools.partial(_plain, strides=strides))
  _close(ours(x, w), theirs(x, w), tolerance=1e-6)


@pytest.mark.parametrize("kernel,strides", SIZES)
def test_gradients_are_those_of_the_transposed_convolution(kernel, strides):
  x, w = _inputs(kernel)
  ours = _gradients(lambda x, w: upconv.up_convolve(x, w, strides), x, w)
  theirs = _gradients(lambda x, w: _plain(x, w, strides), x, w)
  for a, b in zip(ours, theirs, strict=True):
    _close(a, b, tolerance=1e-5)


def test_module_shares_parameters_with_conv_transpose():
  x, _ = _inputs()
  ours = upconv.UpConv(3)
  theirs = nn.ConvTranspose(3, (4, 4), strides=(2, 2), padding="SAME")
  params = theirs.init(jax.random.key(0), x)
  params["params"]["bias"] = jnp.array([1.0, -2.0, 3.0])
  mine = upconv.UpConv(3).init(jax.random.key(0), x)
  np.testing.assert_array_equal(
    mine["params"]["kernel"], params["params"]["kernel"]
  )
  _close(ours.apply(params, x), theirs.apply(params, x), tolerance=1e-6)


def test_stands_in_vmap_with_gradients_per_example():
  x, w = _inputs()
  up = functools.partial(upconv.up_convolve, strides=2)
  each = lambda fn: jax.vmap(
    lambda x: _gradients(fn, x[None], w)[1], in_axes=0
  )(x)
  _close(each(up), each(_plain), tolerance=1e-5)


def test_stands_in_remat_and_scan():
  x, w = _inputs()
  stack = jnp.stack([w, 2.0 * w])

  def total(fn, stack):
    body = lambda c, k: (c + jnp.tanh(jax.checkpoint(fn)(x, k)).sum(), None)
    return lax.scan(body, jnp.zeros(()), stack)[0]

  up = functools.partial(upconv.up_convolve, strides=2)
  ours = jax.jit(jax.grad(functools.partial(total, up)))(stack)
  theirs = jax.jit(jax.grad(functools.partial(total, _plain)))(stack)
  _close(ours, theirs, tolerance=1e-5)


def test_four_devices_give_the_same_without_gathering_activations():
  x, w = _inputs(batch=8)
  mesh = sharding.make_mesh()
  layout = NamedSharding(mesh, PartitionSpec(sharding.AXES))
  up = functools.partial(upconv.up_convolve, strides=2)
  fn = jax.jit(functools.partial(_gradients, up))
  split = jax.device_put(x, layout)
  whole = jax.device_put(w, sharding.replicated(mesh))
  text = fn.lower(split, whole).compile().as_text()
  assert "all-reduce" in text
  assert "all-gather" not in text
  for a, b in zip(fn(split, whole), _gradients(_plain, x, w), strict=True):
    _close(a, b, tolerance=1e-5)


def test_bfloat16_computes_in_bfloat16_with_float32_parameters():
  x, _ = _inputs()
  net = upconv.UpConv(3, dtype=jnp.bfloat16)
  params = net.init(jax.random.key(0), x)
  assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  assert net.apply(params, x).dtype == jnp.bfloat16
  loss = lambda net, p: jnp.square(net.apply(p, x).astype(jnp.float32)).sum()
  ours = jax.grad(lambda p: loss(net, p))(params)
  theirs = jax.grad(lambda p: loss(upconv.UpConv(3), p))(params)
  assert ours["params"]["kernel"].dtype == jnp.float32
  jax.tree.map(functools.partial(_close, tolerance=3e-2), ours, theirs)


def test_other_platforms_keep_the_plain_form():
  x, w = _inputs()
  fn = jax.jit(functools.partial(upconv.up_convolve, strides=2))
  traced = fn.trace(x, w)
  dilated = "lhs_dilate = [2, 2]"
  for platform, plain in (("tpu", True), ("cuda", True), ("cpu", False)):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert (dilated in text) == plain, platform


def test_an_image_without_a_batch_raises():
  with pytest.raises(AssertionError, match="rank"):
    upconv.UpConv(3).init(jax.random.key(0), jnp.zeros((4, 4, 2)))
