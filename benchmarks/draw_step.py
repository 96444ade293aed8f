"""DRAW's train step of 64 drawing steps: forms of the loop, and PyTorch.

  python -m benchmarks.draw_step

configs/draw_mnist.py. First the time to compile and the memory of each form of
the scan (steps computed again on the way back or kept; steps unrolled), then
the time of a train step, in turn with PyTorch's. Needs
`pip install torch psutil`.
"""

import argparse
import time

import numpy as np
from ml_collections import ConfigDict

from benchmarks import alternate, genlat_rivals, torch_draw, torch_peers
from benchmarks.introvae_step import memory
from configs import draw_mnist

SIDE = 28
# name: remat, unroll; the first is the shipped form
FORMS = {
  "scan, remat": (True, 1),
  "scan, kept": (False, 1),
  "unroll 4, remat": (True, 4),
  "unroll 4, kept": (False, 4),
}


def settings(args: argparse.Namespace, form: str) -> ConfigDict:
  """The shipped configuration with one form of the loop."""
  config = draw_mnist.get_config().unlock()
  config.batch_size, config.draw.steps = args.batch, args.drawn
  config.data.name, config.data.binarise = "mnist", "fixed"
  config.model.remat, config.draw.unroll = FORMS[form]
  return config


def main() -> None:
  """Prints both tables."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--batch", type=int, default=128)
  parser.add_argument("--drawn", type=int, default=64, help="T")
  parser.add_argument("--steps", type=int, default=1, help="steps a call")
  args = parser.parse_args()
  source = genlat_rivals.random_source(2 * args.batch, (SIDE, SIDE, 1))
  rivals = []
  print(f"{'form':20}{'compile s':>10}{'GiB':>8}")
  for form in FORMS:
    run = genlat_rivals.make_run(settings(args, form), source)
    start = time.monotonic()
    need = memory(run)  # lowers and compiles
    spent = time.monotonic() - start
    print(f"{form:20}{spent:10.1f}{need / 2**30:8.2f}", flush=True)
    ours = genlat_rivals.count(run)
    rivals.append(genlat_rivals.rival(form, run, args.steps))
    block = run.config
  make = lambda: torch_draw.Draw(
    SIDE,
    args.drawn,
    block.draw.hidden,
    block.model.latent,
    block.draw.read,
    block.draw.write,
  )
  parameters = torch_peers.count(make())
  if parameters != ours:
    raise SystemExit(f"{parameters} parameters, not {ours}")
  images = np.random.default_rng(0).integers(2, size=(args.batch, SIDE, SIDE))
  rivals += torch_peers.rivals(
    make,
    torch_draw.Draw.loss,
    images.astype(np.float32),
    args.steps,
    clip=block.optimizer.clip,
    compiles=False,
  )
  alternate.report(
    f"DRAW, T {args.drawn}, {parameters:,} parameters, batch {args.batch},"
    " float32",
    alternate.measure(rivals, args),
    args.batch,
  )


if __name__ == "__main__":
  main()
