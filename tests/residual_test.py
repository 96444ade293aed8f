"""The residual networks of IntroVAE (introvae.md 2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.nets import residual

SIZES = {
  "placement": "sum",
  "normalisation": "batch",
  "dtype": jnp.float32,
  "remat": False,
}


def nets(side, channels, latent, colours=3, **changes):
  sizes = SIZES | changes
  encoder = residual.Encoder(outputs=2 * latent, channels=channels, **sizes)
  shape = (side, side, colours)
  decoder = residual.Decoder(image_shape=shape, channels=channels, **sizes)
  return encoder, decoder, jnp.zeros((1, *shape)), jnp.zeros((1, latent))


def weights(net, x):
  shapes = jax.eval_shape(
    lambda key: net.init(key, x, train=False), jax.random.key(0)
  )
  return sum(np.prod(p.shape) for p in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(
  "side,channels,latent,encoder,decoder",
  [
    (256, (32, 64, 128, 256, 512, 512), 512, 22711456, 16190819),
    (
      1024,
      (16, 32, 64, 128, 256, 512, 512, 512),
      512,
      27445328,
      20903859,
    ),
    (256, (64, 128, 256, 512, 512, 512), 256, 23182144, 18842307),
    (128, (64, 128, 256, 512, 512), 128, 16364096, 13073091),
    (32, (64, 128, 256), 128, 3382848, 2382531),
  ],
)
def test_parameter_counts_are_those_of_the_sheet(
  side, channels, latent, encoder, decoder
):
  enc, dec, x, z = nets(side, channels, latent)
  assert (weights(enc, x), weights(dec, z)) == (encoder, decoder)


def test_parameter_counts_of_mnist_are_those_of_the_sheet():
  enc, dec, x, z = nets(28, (64, 128), 32, colours=1)
  assert (weights(enc, x), weights(dec, z)) == (928512, 697025)


@pytest.mark.parametrize(
  "side,channels", [(16, (4, 8)), (28, (4, 8)), (8, (4,))]
)
def test_shapes_go_there_and_back(side, channels):
  enc, dec, x, z = nets(side, channels, 5)
  out, _ = jax.eval_shape(
    lambda: enc.init_with_output(jax.random.key(0), x, train=False)
  )
  raw, _ = jax.eval_shape(
    lambda: dec.init_with_output(jax.random.key(0), z, train=False)
  )
  assert out.shape == (1, 10) and raw.shape == x.shape
  assert out.dtype == raw.dtype == jnp.float32


def test_a_size_that_cannot_be_halved_is_named():
  with pytest.raises(ValueError, match="multiples of 8; got 28 x 28"):
    residual.base_shape((28, 28), (4, 8, 16))
  with pytest.raises(ValueError, match="channels must be numbers"):
    residual.base_shape((28, 28), ())


def block(placement, features, x):
  net = residual.Block(
    features, placement, "batch", train=True, dtype=jnp.float32
  )
  variables = net.init(jax.random.key(0), x)
  out, _ = net.apply(variables, x, mutable=["batch_stats"])
  return out, variables["params"]


def test_a_block_is_the_official_one_written_out():
  """Branch, skip, normalisation of their sum; PyTorch's variance."""
  x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
  out, p = block("sum", 5, x)

  def conv(x, name, pad):
    return jax.lax.conv_general_dilated(
      x,
      p[name]["kernel"],
      (1, 1),
      [(pad, pad)] * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )

  def norm(x):
    x = np.asarray(x)
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)

  leak = lambda x: np.where(x > 0, x, 0.2 * x)
  branch = conv(leak(norm(conv(x, "conv_1", 1))), "conv_2", 1)
  wanted = leak(norm(branch + conv(x, "skip", 0)))
  np.testing.assert_allclose(out, wanted, atol=1e-5)


def test_the_placement_of_the_last_normalisation_matters():
  x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
  one, a = block("sum", 3, x)
  other, b = block("branch", 3, x)
  assert jax.tree.structure(a) == jax.tree.structure(b)
  assert "skip" not in a
  assert np.abs(one - other).max() > 0.1


def test_halving_and_doubling_are_means_and_copies():
  x = jnp.arange(16.0).reshape(1, 4, 4, 1)
  np.testing.assert_array_equal(
    residual._halve(x)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]]
  )
  np.testing.assert_array_equal(
    residual._double(x), x.repeat(2, axis=1).repeat(2, axis=2)
  )


def test_group_normalisation_has_no_averages_and_no_neighbours():
  enc, _, x, _ = nets(8, (4,), 3, normalisation="group")
  x = jax.random.normal(jax.random.key(0), (3, 8, 8, 3))
  variables = enc.init(jax.random.key(1), x, train=True)
  assert "batch_stats" not in variables
  whole = enc.apply(variables, x, train=True)
  alone = enc.apply(variables, x[:1], train=True)
  np.testing.assert_allclose(whole[:1], alone, atol=1e-5)
