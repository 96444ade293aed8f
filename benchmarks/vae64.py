"""A 64x64 VAE of 7.1 million parameters against plain Flax and PyTorch.

  python -m benchmarks.vae64

The network is DCGAN's size: four 4x4 convolutions of stride 2 with 64, 128,
256 and 512 channels, batch normalisation and ReLU (none after the first), one
linear layer, and their mirror. Plain Flax has `nn.ConvTranspose` where genlat
has `UpConv`; all else is the same. Needs `pip install torch psutil`.
"""

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from benchmarks import alternate, genlat_rivals, torch_peers
from configs import base
from genlat import optimizers
from genlat.methods.autoencoding import Autoencoding
from genlat.methods.observation import Observation
from genlat.methods.vae import Vae
from genlat.nets.upconv import UpConv

LATENT = 64
SHAPE = (64, 64, 3)
_INIT = nn.initializers.normal(0.02)


class Encoder(nn.Module):
  """Images `[B, 64, 64, 3]` to `[B, 2 * LATENT]`."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Encodes images."""
    for i, channels in enumerate((64, 128, 256, 512)):
      x = nn.Conv(channels, (4, 4), 2, ((1, 1), (1, 1)), kernel_init=_INIT)(x)
      x = nn.relu(x if i == 0 else _norm(train)(x))
    x = x.reshape(x.shape[0], -1)
    return nn.Dense(2 * LATENT, kernel_init=_INIT)(x)


class Decoder(nn.Module):
  """Codes `[B, LATENT]` to raw images `[B, 64, 64, 3]`.

  Attributes:
    plain: whether Flax's own transposed convolution is used.
  """

  plain: bool

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    """Decodes codes."""
    x = nn.Dense(512 * 16, kernel_init=_INIT)(z).reshape(-1, 4, 4, 512)
    x = nn.relu(_norm(train)(x))
    for channels in (256, 128, 64):
      x = nn.relu(_norm(train)(self._up(channels)(x)))
    return self._up(SHAPE[-1])(x)

  def _up(self, channels: int) -> nn.Module:
    if self.plain:
      return nn.ConvTranspose(channels, (4, 4), (2, 2), kernel_init=_INIT)
    return UpConv(channels, kernel_init=_INIT)


def _norm(train: bool) -> nn.BatchNorm:
  return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5)


def method(config: ConfigDict, plain: bool) -> Vae:
  """The VAE of genlat with the networks above."""
  nets = Autoencoding(
    encoder=Encoder(),
    decoder=Decoder(plain),
    observation=Observation.from_config(config, SHAPE[0]),
    image_shape=SHAPE,
    latent=LATENT,
    batch_statistics=False,
  )
  return Vae(
    nets=nets,
    flow_posterior=False,
    players=optimizers.players(config, {"vae": nets.nets}),
    reconstruction=1.0,
    beta=1.0,
    samples=1,
    flow=None,
    ema=0.0,
  )


def main() -> None:
  """Prints the table."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--batch", type=int, default=128)
  parser.add_argument("--steps", type=int, default=2, help="steps a call")
  args = parser.parse_args()
  config = base.base()
  config.method, config.model.latent = "vae", LATENT
  config.batch_size, config.optimizer.lr = args.batch, 1e-4
  source = genlat_rivals.random_source(4 * args.batch, SHAPE)
  makers = {"genlat": False, "plain Flax": True}
  runs = {
    name: genlat_rivals.make_run(config, source, method(config, plain))
    for name, plain in makers.items()
  }
  parameters = torch_peers.count(torch_peers.vae64(LATENT))
  if {parameters} != {genlat_rivals.count(run) for run in runs.values()}:
    raise SystemExit(f"PyTorch has {parameters} parameters, genlat others")
  rivals = [genlat_rivals.rival(k, run, args.steps) for k, run in runs.items()]
  images = source.read(np.arange(args.batch))["image"] / np.float32(255.0)
  rivals += torch_peers.rivals(
    lambda: torch_peers.vae64(LATENT),
    torch_peers.vae_loss,
    images.transpose(0, 3, 1, 2).copy(),
    args.steps,
  )
  alternate.report(
    f"64x64 VAE, {parameters:,} parameters, batch {args.batch}, float32",
    alternate.measure(rivals, args),
    args.batch,
  )


if __name__ == "__main__":
  main()
