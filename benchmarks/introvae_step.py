"""IntroVAE's alternating step against PyTorch, with the memory it needs.

  python -m benchmarks.introvae_step --side=64 --batch=16

The channel widths of configs/introvae_faces{64,128,256}.py. Needs
`pip install torch psutil`.
"""

import importlib

import jax
import numpy as np
import torch

from benchmarks import alternate, genlat_rivals, torch_introvae
from genlat import run as runs


def main() -> None:
  """Prints the table."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--side", type=int, default=64, choices=(64, 128, 256))
  parser.add_argument("--batch", type=int, default=16)
  parser.add_argument("--steps", type=int, default=1, help="steps a call")
  args = parser.parse_args()
  module = importlib.import_module(f"configs.introvae_faces{args.side}")
  config = module.get_config().unlock()
  config.batch_size, config.model.dtype = args.batch, "float32"
  config.data.flip = False
  channels, latent = tuple(config.model.channels), config.model.latent
  shape = (args.side, args.side, 3)
  source = genlat_rivals.random_source(2 * args.batch, shape)
  run = genlat_rivals.make_run(config, source)
  parameters = torch_introvae.count(channels, latent)
  if parameters != genlat_rivals.count(run):
    raise SystemExit(f"{parameters} parameters, not {genlat_rivals.count(run)}")
  pixels = source.read(np.arange(args.batch))["image"]
  images = torch.from_numpy(pixels / np.float32(255.0)).permute(0, 3, 1, 2)
  rivals = [genlat_rivals.rival("genlat", run, args.steps)]
  rivals += torch_introvae.rivals(channels, latent, images, args.steps)
  title = f"IntroVAE {args.side}x{args.side}, channels {channels},"
  alternate.report(
    f"{title} {parameters:,} parameters, batch {args.batch}, float32",
    alternate.measure(rivals, args),
    args.batch,
  )
  print(f"genlat's compiled step needs {memory(run) / 2**30:.2f} GiB")


def memory(run: runs.Run) -> int:
  """Bytes: arguments and results once, scratch and code."""
  step = runs.compile_step(run, 1)
  feed = run.feeder.feed(0, 1)
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (run.abstract, feed)
  )
  found = step.jitted.lower(*abstract).compile().memory_analysis()
  return (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    - found.alias_size_in_bytes
    + found.temp_size_in_bytes
    + found.generated_code_size_in_bytes
  )


if __name__ == "__main__":
  main()
