"""The auto-encoder of the GLF paper: counts, shapes, layers, switches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.nets import conv

SMALL = {"hidden": 8, "channels": (3, 4)}


def _abstract(net, shape):
  init = functools.partial(net.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), jnp.zeros(shape))


def _count(net, shape):
  leaves = jax.tree.leaves(_abstract(net, shape)["params"])
  return sum(int(np.prod(leaf.shape)) for leaf in leaves)


def _encoder(**fields):
  x = np.random.default_rng(1).uniform(size=(4, 8, 12, 3))
  return _filled(conv.Encoder(5, **(SMALL | fields)), x)


def _decoder(**fields):
  z = np.random.default_rng(1).normal(size=(4, 5))
  return _filled(conv.Decoder((8, 12, 3), **(SMALL | fields)), z)


def _filled(net, x):
  """The net with weights by NumPy, which compiles nothing, and an input."""
  random = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: random.normal(0.3, 0.3, leaf.shape).astype(np.float32) ** 2,
    _abstract(net, x.shape),
  )
  return net, variables, x.astype(np.float32)


def _apply(net, variables, x, **how):
  return jax.jit(functools.partial(net.apply, **how))(variables, x)


@pytest.mark.parametrize(
  "side,colours,codes,encoder,decoder",
  [
    (28, 1, 20, 6_578_644, 6_597_185),
    (32, 3, 64, 8_591_872, 8_616_131),
    (64, 3, 64, 33_757_696, 33_855_683),
  ],
)
def test_parameter_counts_are_those_of_the_paper(
  side, colours, codes, encoder, decoder
):
  image = (side, side, colours)
  assert _count(conv.Encoder(codes), (1, *image)) == encoder
  assert _count(conv.Decoder(image), (1, codes)) == decoder


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (64, 32, 3)])
def test_decoder_mirrors_the_encoder_in_shape(shape):
  encode, decode = conv.Encoder(6, **SMALL), conv.Decoder(shape, **SMALL)
  x = jnp.zeros((2, *shape))

  def both(rng):
    z, _ = encode.init_with_output(rng, x, train=False)
    return z, decode.init_with_output(rng, z, train=False)[0]

  z, raw = jax.eval_shape(both, jax.random.key(0))
  assert z.shape == (2, 6) and raw.shape == x.shape


@pytest.mark.parametrize("height,width", [(30, 28), (28, 30), (9, 9)])
def test_sides_that_4_does_not_divide_are_refused(height, width):
  message = f"got {height} x {width}"
  with pytest.raises(ValueError, match=message):
    _abstract(conv.Encoder(5), (1, height, width, 1))
  with pytest.raises(ValueError, match=message):
    _abstract(conv.Decoder((height, width, 1)), (1, 5))


def test_every_layer_has_a_bias_and_the_second_norm_is_flat():
  params = _abstract(conv.Decoder((8, 12, 3), **SMALL), (1, 5))["params"]
  assert params["dense_2"]["norm"]["scale"].shape == (2 * 3 * 4,)
  assert "norm" not in params["head"]
  encoder = _abstract(conv.Encoder(5, **SMALL), (1, 8, 12, 3))["params"]
  assert "norm" not in encoder["down_1"]
  assert "norm" in encoder["down_2"] and "norm" in encoder["dense"]
  for tree in (params, encoder):
    layers = [layer.get("affine", layer) for layer in tree.values()]
    assert len(layers) == 4 and all("bias" in layer for layer in layers)


def test_kernels_start_from_deviation_one_fiftieth():
  for kind in ("dense", "down", "up"):
    block = conv.Block(kind, 32, False, True, jnp.float32)
    x = jnp.zeros((1, 4, 4, 64))
    affine = block.init(jax.random.key(0), x)["params"]
    kernel, bias = affine["affine"]["kernel"], affine["affine"]["bias"]
    np.testing.assert_allclose(kernel.std(), 0.02, rtol=0.1, err_msg=kind)
    np.testing.assert_allclose(kernel.mean(), 0.0, atol=2e-3, err_msg=kind)
    np.testing.assert_array_equal(bias, 0.0, err_msg=kind)


def test_convolutions_see_one_row_of_padding_on_each_side():
  block = conv.Block("down", 1, False, True, jnp.float32)
  x = jnp.ones((1, 8, 8, 1))
  shapes = jax.eval_shape(block.init, jax.random.key(0), x)
  params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
  row = [9.0, 12.0, 12.0, 9.0]
  y = block.apply(params, x)[0, :, :, 0] - 1.0
  np.testing.assert_array_equal(y[0], row)
  np.testing.assert_array_equal(y[1], [12.0, 16.0, 16.0, 12.0])


def test_up_block_is_the_transpose_of_the_down_block():
  x = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
  y = jax.random.normal(jax.random.key(1), (1, 4, 4, 2))
  kernel = jax.random.normal(jax.random.key(2), (4, 4, 1, 2))
  run = lambda kind, features, kernel, x: conv._affine(
    kind, features, jnp.float32, "affine"
  ).apply({"params": {"kernel": kernel, "bias": jnp.zeros(features)}}, x)
  down = run("down", 2, kernel, x)
  # PyTorch's transposed convolution is Flax's with the kernel flipped.
  up = run("up", 1, kernel[::-1, ::-1].swapaxes(2, 3), y)
  np.testing.assert_allclose((down * y).sum(), (up * x).sum(), rtol=1e-4)


@pytest.mark.parametrize("make", [_encoder, _decoder])
def test_remat_changes_neither_tree_nor_gradient(make):
  def gradient(remat):
    net, variables, x = make(remat=remat)

    def loss(variables):
      y, _ = net.apply(variables, x, train=True, mutable=["batch_stats"])
      return jnp.sin(y).sum()

    return jax.jit(jax.grad(loss))(variables)["params"]

  plain, remat = gradient(False), gradient(True)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4),
    plain,
    remat,
  )


@pytest.mark.parametrize("make", [_encoder, _decoder])
def test_bfloat16_keeps_parameters_and_outputs_in_float32(make):
  net, variables, x = make(dtype=jnp.bfloat16)
  shapes = jax.tree.leaves(_abstract(net, x.shape))
  assert {leaf.dtype for leaf in shapes} == {jnp.dtype("float32")}
  y = _apply(net, variables, x, train=False)
  exact = _apply(make()[0], variables, x, train=False)
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y, exact, rtol=0.05)
  assert jnp.abs(y - exact).max() > 0.0


@pytest.mark.parametrize("make", [_encoder, _decoder])
def test_rows_are_independent_only_outside_of_training(make):
  net, variables, x = make()
  apply = functools.partial(_apply, net, variables, mutable=["batch_stats"])
  alone, whole = apply(x[:2], train=False), apply(x, train=False)
  np.testing.assert_allclose(alone[0], whole[0][:2], rtol=1e-5)
  other = apply(x[:2], train=True)[0] - apply(x, train=True)[0][:2]
  assert jnp.abs(other).max() > 1e-3


@pytest.mark.parametrize("make", [_encoder, _decoder])
def test_without_normalisation_there_are_no_averages(make):
  _, variables, _ = make(normalisation="none")
  assert set(variables) == {"params"}
  with pytest.raises(ValueError, match="'batch' or 'none'; got 'layer'"):
    make(normalisation="layer")


def test_outputs_reach_the_range_of_the_data_and_not_beyond():
  raw = jnp.array([-30.0, 0.0, 30.0])
  for activation in ("tanh", "sigmoid"):
    np.testing.assert_allclose(
      conv.to_unit(raw, activation), [0.0, 0.5, 1.0], atol=1e-6
    )


def test_tanh_is_the_sigmoid_at_twice_the_value():
  raw = jnp.linspace(-3.0, 3.0, 13)
  np.testing.assert_allclose(
    conv.to_unit(raw, "tanh"), conv.to_unit(2.0 * raw, "sigmoid"), atol=1e-6
  )


def test_unknown_activation_names_the_known():
  with pytest.raises(ValueError, match="'tanh' or 'sigmoid'; got 'relu'"):
    conv.to_unit(jnp.zeros(1), "relu")
