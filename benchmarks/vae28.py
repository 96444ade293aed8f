"""The 28x28 VAE of 13.2 million parameters against PyTorch and pythae.

  python -m benchmarks.vae28

genlat's time holds its data, uint8 images in memory; PyTorch's own rivals
step on one float batch, and pythae's trainer loads its images, too. Needs
`pip install torch psutil` and, for the last rival, pythae.
"""

import numpy as np

from benchmarks import alternate, genlat_rivals, pythae_peer, torch_peers
from configs import base

LATENT = 20


def main() -> None:
  """Prints the table."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--batch", type=int, default=128)
  parser.add_argument("--steps", type=int, default=20, help="steps a call")
  args = parser.parse_args()
  config = base.base()
  config.method, config.model.latent = "vae", LATENT
  config.batch_size, config.optimizer.lr = args.batch, 1e-4
  source = genlat_rivals.random_source(args.batch * args.steps, (28, 28, 1))
  run = genlat_rivals.make_run(config, source)
  parameters = torch_peers.count(torch_peers.vae28(LATENT))
  if parameters != genlat_rivals.count(run):
    raise SystemExit(f"{parameters} parameters, not {genlat_rivals.count(run)}")
  pixels = source.read(np.arange(len(source)))["image"]
  images = (pixels / np.float32(255.0)).transpose(0, 3, 1, 2).copy()
  rivals = [genlat_rivals.rival("genlat", run, args.steps)]
  rivals += torch_peers.rivals(
    lambda: torch_peers.vae28(LATENT),
    torch_peers.vae_loss,
    images[: args.batch],
    args.steps,
  )
  pythae = pythae_peer.rival(
    torch_peers.vae28(LATENT), images, args.batch, LATENT
  )
  rivals += [pythae] if pythae else []
  alternate.report(
    f"28x28 VAE, {parameters:,} parameters, batch {args.batch}, float32",
    alternate.measure(rivals, args),
    args.batch,
  )


if __name__ == "__main__":
  main()
