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


# introvae.md 2.1: every convolution's output of a 256-pixel image (run_256 of
# the official code), and at 28 pixels, as (channels, side); 1x1 are skips.
ENCODER_256 = {
  "stem": (32, 256),
  "block_1": (64, 128),
  "block_2": (128, 64),
  "block_3": (256, 32),
  "block_4": (512, 16),
  "block_5": (512, 8),
  "block_last": (512, 4),
  "head": (1024, None),
}
DECODER_256 = {
  "stem": (8192, None),
  "block_6": (512, 4),
  "block_5": (512, 8),
  "block_4": (256, 16),
  "block_3": (128, 32),
  "block_2": (64, 64),
  "block_1": (32, 128),
  "block_0": (32, 256),
  "head": (3, 256),
}
ENCODER_28 = {
  "stem": (64, 28),
  "block_1": (128, 14),
  "block_last": (128, 7),
  "head": (64, None),
}
DECODER_28 = {
  "stem": (6272, None),
  "block_2": (128, 7),
  "block_1": (64, 14),
  "block_0": (64, 28),
  "head": (1, 28),
}


@pytest.mark.parametrize(
  "side,channels,latent,colours,tables",
  [
    (256, (32, 64, 128, 256, 512, 512), 512, 3, (ENCODER_256, DECODER_256)),
    (28, (64, 128), 32, 1, (ENCODER_28, DECODER_28)),
  ],
)
def test_layers_are_those_of_the_sheet(side, channels, latent, colours, tables):
  enc, dec, x, z = nets(side, channels, latent, colours)
  for net, given, table in zip((enc, dec), (x, z), tables, strict=True):
    made = jax.eval_shape(
      lambda net=net, given=given: net.init_with_output(
        jax.random.key(0),
        given,
        train=False,
        capture_intermediates=True,
        mutable=True,
      )[1]["intermediates"]
    )
    layers = {}
    for name in table:
      (out,) = made[name]["__call__"]
      layers[name] = out.shape[-1], out.shape[1] if out.ndim == 4 else None
    assert made.keys() - table.keys() <= {"__call__", "stem_norm"}
    assert layers == table


def conv(x, kernel):
  """A convolution that keeps the sides."""
  edge = kernel.shape[0] // 2
  dims = ("NHWC", "HWIO", "NHWC")
  return np.asarray(
    jax.lax.conv_general_dilated(
      x, kernel, (1, 1), [(edge, edge)] * 2, dimension_numbers=dims
    )
  )


def norm(x, p):
  """Of a batch, with PyTorch's (biased) variance."""
  x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
  return x * p["batch"]["scale"] + p["batch"]["bias"]


def leak(x):
  return np.where(x > 0, x, 0.2 * x)


def by_hand(x, p):
  """Branch, skip, normalisation of their sum."""
  branch = leak(norm(conv(x, p["conv_1"]["kernel"]), p["norm_1"]))
  branch = conv(branch, p["conv_2"]["kernel"])
  skip = conv(x, p["skip"]["kernel"]) if "skip" in p else x
  return leak(norm(branch + skip, p["norm_2"]))


def away(variables):
  """Weights none of which is 0 or 1."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda p: np.asarray(p) + 0.1 * rng.standard_normal(p.shape, np.float32),
    variables["params"],
  )


def block(placement, features, x):
  net = residual.Block(
    features, placement, "batch", train=True, dtype=jnp.float32
  )
  params = away(net.init(jax.random.key(0), x))
  out, _ = net.apply({"params": params}, x, mutable=["batch_stats"])
  return out, params


def test_a_block_is_the_official_one_written_out():
  x = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
  out, p = block("sum", 5, x)
  np.testing.assert_allclose(out, by_hand(x, p), atol=2e-5)


def test_networks_are_the_official_ones_written_out():
  """Two levels, with every activation, halving and doubling in its place."""
  enc, dec, x, z = nets(8, (3, 5), 2)
  rng = np.random.default_rng(1)
  x = rng.standard_normal((6, *x.shape[1:]), np.float32)
  z = rng.standard_normal((6, *z.shape[1:]), np.float32)
  half = lambda x: x.reshape(6, x.shape[1] // 2, 2, -1, 2, x.shape[-1]).mean(
    (2, 4)
  )
  twice = lambda x: x.repeat(2, 1).repeat(2, 2)
  dense = lambda x, p: x @ p["kernel"] + p["bias"]

  p = away(enc.init(jax.random.key(3), x, train=True))
  y = half(leak(norm(conv(x, p["stem"]["kernel"]), p["stem_norm"])))
  y = half(by_hand(y, p["block_1"]))
  y = by_hand(y, p["block_last"])
  wanted = dense(y.reshape(6, -1), p["head"])
  found, _ = enc.apply({"params": p}, x, train=True, mutable=["batch_stats"])
  np.testing.assert_allclose(found, wanted, atol=1e-4)

  p = away(dec.init(jax.random.key(4), z, train=True))
  y = np.maximum(dense(z, p["stem"]), 0.0).reshape(6, 2, 2, 5)
  y = twice(by_hand(y, p["block_2"]))
  y = twice(by_hand(y, p["block_1"]))
  y = by_hand(y, p["block_0"])
  wanted = conv(y, p["head"]["kernel"]) + p["head"]["bias"]
  found, _ = dec.apply({"params": p}, z, train=True, mutable=["batch_stats"])
  np.testing.assert_allclose(found, wanted, atol=1e-4)


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


@pytest.mark.parametrize("placement", ["sum", "branch"])
def test_by_groups_brightness_is_still_seen(placement):
  def codes(kind, x):
    enc = residual.Encoder(6, (16, 32), placement, kind, jnp.float32, False)
    variables = enc.init(jax.random.key(1), x, train=True)
    return enc.apply(variables, x, train=True, mutable=["batch_stats"])[0]

  x = jax.random.uniform(jax.random.key(0), (8, 16, 16, 3))
  dim = {k: codes(k, jnp.concatenate([x, 0.3 * x])) for k in ("batch", "group")}
  greys = jnp.linspace(0.1, 0.9, 8).reshape(8, 1, 1, 1) * jnp.ones_like(x)
  apart = {k: np.abs(z[:8] - z[8:]).mean() for k, z in dim.items()}
  spread = {k: codes(k, greys).std(0).mean() for k in dim}
  assert apart["group"] > 0.1 * apart["batch"], apart
  assert spread["group"] > 0.1 * spread["batch"], spread


def test_group_normalisation_has_no_averages_and_no_neighbours():
  enc, _, x, _ = nets(8, (4,), 3, normalisation="group")
  x = jax.random.normal(jax.random.key(0), (3, 8, 8, 3))
  variables = enc.init(jax.random.key(1), x, train=True)
  assert "batch_stats" not in variables
  whole = enc.apply(variables, x, train=True)
  alone = enc.apply(variables, x[:1], train=True)
  np.testing.assert_allclose(whole[:1], alone, atol=1e-5)
