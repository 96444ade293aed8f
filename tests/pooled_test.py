"""The networks of the learned-prior autoencoder (aae.md 5)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import methods
from genlat.nets import discriminators, pooled
from tests import shipped


def count(net, *inputs):
  shapes = jax.eval_shape(
    lambda key: net.init(key, *inputs, train=False), jax.random.key(0)
  )
  return sum(np.prod(p.shape) for p in jax.tree.leaves(shapes["params"]))


def test_parameter_counts_are_those_of_the_sheet():
  config = shipped.config("lp_aae_supervised_cifar10")
  nets = shipped.build(config).nets
  x, code = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 64))
  label = jnp.zeros((1, 10))
  assert count(nets["encoder"], x) == 4_969_408
  assert count(nets["decoder"], code) == 4_227_587
  assert count(nets["image_discriminator"], x) == 4_757_649
  assert count(nets["classifier"], jnp.zeros((1, 1000))) == 10_010
  assert count(nets["code_generator"], code[:, :54], label) == 16_960
  free = shipped.build(shipped.config("lp_aae_cifar10")).nets
  assert count(free["code_discriminator"], code) == 665_901
  assert count(free["code_generator"], code) == 16_960


@pytest.mark.parametrize("latent", [8, 64, 100, 2000])
@pytest.mark.parametrize("colours", [1, 3])
def test_shapes_of_all_code_sizes(latent, colours):
  config = shipped.config("lp_aae_cifar10")
  config.model.latent = latent
  made = methods.build(config, (32, 32, colours))
  state = jax.eval_shape(made.init, jax.random.key(0), {})
  x = jax.ShapeDtypeStruct((2, 32, 32, colours), jnp.float32)
  codes = jax.eval_shape(made.encode, state, x)
  assert codes.shape == (2, latent)
  assert jax.eval_shape(made.decode, state, codes).shape == x.shape


def test_features_are_the_last_map_flattened():
  config = shipped.config("lp_aae_cifar10")
  net = shipped.build(config).nets["image_discriminator"]
  x = jnp.zeros((2, 32, 32, 3))
  out = jax.eval_shape(
    lambda: net.init_with_output(jax.random.key(0), x, train=False)
  )[0]
  assert isinstance(out, discriminators.Judgement)
  shapes = (out.logits.shape, out.features.shape, out.trunk.shape)
  assert shapes == ((2,), (2, 4096), (2, 1000))


def test_the_decoder_s_first_layer_is_a_transposed_convolution():
  net = pooled.Decoder((8, 8, 1), (2, 5), "none", jnp.float32, remat=False)
  z = jax.random.normal(jax.random.key(0), (3, 4))
  variables = net.init(jax.random.key(1), z, train=False)
  kernel = variables["params"]["stem_kernel"]
  # JAX's transposed convolution flips the kernel in space; PyTorch's does not.
  flipped = kernel[::-1, ::-1]
  wanted = jax.lax.conv_transpose(z[:, None, None], flipped, (1, 1), "VALID")
  got = jnp.einsum("bd,hwdc->bhwc", z, kernel)
  np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("channels", [(16, 32, 64, 128), (64, 128, 256, 512)])
def test_new_networks_tell_images_and_codes_apart(channels):
  shared = {
    "channels": channels,
    "normalisation": "batch",
    "dtype": jnp.float32,
    "remat": False,
  }
  encoder = pooled.Encoder(outputs=16, hidden=32, stem_stride=2, **shared)
  decoder = pooled.Decoder(image_shape=(32, 32, 1), **shared)
  rng = np.random.default_rng(0)
  strokes = rng.choice([-1.0, 1.0], (8, 4, 4, 1), p=[0.8, 0.2])
  x = jnp.asarray(strokes.repeat(8, 1).repeat(8, 2), jnp.float32)
  z = jax.random.normal(jax.random.key(2), (8, 16))
  for net, inputs in ((encoder, x), (decoder, z)):
    out, _ = jax.jit(
      lambda key, net=net, inputs=inputs: net.init_with_output(
        key, inputs, train=True
      )
    )(jax.random.key(1))
    assert 0.1 < out.std(0).mean() < 10.0


@pytest.mark.parametrize("stride,side", [(1, 4), (2, 2)])
def test_the_stem_decides_what_the_pool_sees(stride, side):
  config = shipped.config("lp_aae_cifar10", aae__stem_stride=stride)
  net = shipped.build(config).nets["encoder"]
  x = jnp.zeros((2, 32, 32, 3))
  seen = jax.eval_shape(
    lambda: net.init_with_output(
      jax.random.key(0), x, train=False, capture_intermediates=True
    )
  )[1]
  maps = jax.tree.leaves(seen["intermediates"])
  assert (2, side, side, 512) in [m.shape for m in maps]
