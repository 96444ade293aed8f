"""DRAW's train step of 64 drawing steps: forms of the loop, and PyTorch.

  python -m benchmarks.draw_step

configs/draw_mnist.py. First both networks are given the same weights, images
and noise: their losses and gradients must agree. Then the time to compile and
the memory of each form of the scan (steps computed again on the way back or
kept; steps unrolled), then the time of a train step, in turn with PyTorch's.
Needs `pip install torch psutil`.
"""

import argparse
import copy
import time

import jax
import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks import alternate, genlat_rivals, torch_draw, torch_peers
from benchmarks.introvae_step import memory
from configs import draw_mnist
from genlat import run as runs

SIDE = 28
ALIKE = 1e-3  # 64 steps of float32
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


def check_alike(run: runs.Run, network: torch_draw.Draw) -> None:
  """Raises SystemExit where the two networks are not one function."""
  rng = np.random.default_rng(0)
  x = rng.integers(2, size=(4, SIDE, SIDE)).astype(np.float32)
  noise = rng.normal(size=(4, network.steps, network.latent))
  noise = noise.astype(np.float32)
  state = runs.initial_state(run)
  # Windows and strokes that differ from image to image.
  shake = lambda a: a + 0.05 * rng.normal(size=a.shape).astype(np.float32)
  params = {"draw": jax.tree.map(shake, state.params["draw"])}
  data = {"image": x[..., None], "noise": noise}
  value_and_grad = jax.jit(
    jax.value_and_grad(lambda p: run.method.loss(state, p, data)[0])
  )
  ours, grads = value_and_grad(params)
  network.adopt(params["draw"])
  turned = torch.from_numpy(noise.transpose(1, 0, 2).copy())
  theirs = network.loss(torch.from_numpy(x), turned)
  theirs.backward()
  error = abs(float(ours) - float(theirs)) / float(ours)
  print(f"loss: difference {error:.1e} of it")
  wanted = copy.deepcopy(network)
  wanted.adopt(grads["draw"])  # gradients, in the places of their weights
  trained = [p for p in network.named_parameters() if p[1].requires_grad]
  worst = max(
    float((p.grad - g).abs().max() / g.abs().max())
    for (_, p), g in zip(
      trained,
      (wanted.get_parameter(n).detach() for n, _ in trained),
      strict=True,
    )
  )
  print(f"gradients of {len(trained)} arrays: differences up to {worst:.1e}")
  if not max(error, worst) < ALIKE:
    raise SystemExit("the networks are not the same function")


def main() -> None:
  """Prints both tables."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--batch", type=int, default=128)
  parser.add_argument("--drawn", type=int, default=64, help="T")
  parser.add_argument("--steps", type=int, default=1, help="steps a call")
  args = parser.parse_args()
  source = genlat_rivals.random_source(2 * args.batch, (SIDE, SIDE, 1))
  plain = genlat_rivals.make_run(settings(args, "scan, remat"), source)
  block = plain.config
  make = lambda: torch_draw.Draw(
    SIDE,
    args.drawn,
    block.draw.hidden,
    block.model.latent,
    block.draw.read,
    block.draw.write,
  )
  check_alike(plain, make())
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
