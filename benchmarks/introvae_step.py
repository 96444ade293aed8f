"""IntroVAE's alternating step against PyTorch, with the memory it needs.

  python -m benchmarks.introvae_step --side=64 --batch=16

The networks, weights and margin of configs/introvae_faces{64,128,256}.py, once
checked to be the same function in both. Needs `pip install torch psutil`.
"""

import argparse
import copy
import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks import alternate, genlat_rivals, torch_introvae
from genlat import data as datasets
from genlat import run as runs
from genlat.methods.introvae import Introvae
from genlat.state import State

ALIKE, SGD = 1e-6, 1e-4


def settings(args: argparse.Namespace) -> ConfigDict:
  """The shipped configuration at a batch of one's own."""
  module = importlib.import_module(f"configs.introvae_faces{args.side}")
  config = module.get_config().unlock()
  config.batch_size, config.model.dtype = args.batch, "float32"
  config.data.flip = False
  return config


def numbers(run: runs.Run) -> torch_introvae.Numbers:
  """What the game is played with."""
  method, config = run.method, run.config
  return torch_introvae.Numbers(
    channels=tuple(config.model.channels),
    latent=config.model.latent,
    margin=method.margin,
    alpha_encoder=method.alpha_encoder,
    alpha_decoder=method.alpha_decoder,
    weight=method.weight,
    lr=config.optimizer.lr,
  )


def check_alike(config: ConfigDict, source: datasets.Source) -> None:
  """Raises SystemExit where a step of SGD is not the same in both.

  Of networks an eighth as wide, that takes seconds, in double precision: deep
  networks of few images make percents of what single precision rounds.
  """
  config = copy.deepcopy(config)
  config.model.channels = tuple(c // 8 for c in config.model.channels)
  config.optimizer.name, config.optimizer.lr = "sgd", SGD
  config.introspection.pretrain = 0.0
  run = genlat_rivals.make_run(config, source)
  key = jax.random.key(1)
  game = torch_introvae.Game(numbers(run), last=False, fused=False)
  game.nets = [n.double() for n in game.nets]
  game.adam = [torch.optim.SGD(n.parameters(), lr=SGD) for n in game.nets]
  pixels = source.read(np.arange(config.batch_size))["image"]
  with jax.enable_x64(True):
    method, state = double(run.method), widen(runs.initial_state(run))
    batch = {"image": pixels / 255.0}
    drawn = method.draws(batch, key)
    after, metrics = jax.jit(method.train_step)(state, batch, key)
    found = metrics["loss"], metrics["loss_decoder"]
  game.adopt(state.params)
  losses = game.step(
    torch.from_numpy(batch["image"]).permute(0, 3, 1, 2),
    torch.from_numpy(np.array(drawn["noise"][:, 0])).double(),
    torch.from_numpy(np.array(drawn["prior"])).double(),
  )
  error = max(
    abs(float(a) - float(b)) / abs(float(b))
    for a, b in zip(losses, found, strict=True)
  )
  wanted, start = copy.deepcopy(game), copy.deepcopy(game)
  wanted.adopt(after.params)
  start.adopt(state.params)
  moves = [
    [p.detach() for net in g.nets for p in net.parameters()]
    for g in (game, wanted, start)
  ]
  worst = max(
    float((a - b).abs().max() / (b - c).abs().max())
    for a, b, c in zip(*moves, strict=True)
  )
  print(f"losses differ by {error:.1e}, moves of SGD by up to {worst:.1e}")
  if not max(error, worst) < ALIKE:
    raise SystemExit("the networks are not the same function")


def widen(state: State) -> State:
  """The state with weights and averages in double precision."""
  wide = lambda t: jax.tree.map(lambda x: x.astype(jnp.float64), t)
  return state.replace(params=wide(state.params), stats=wide(state.stats))


def double(method: Introvae) -> Introvae:
  """The method with networks that compute in double precision."""
  nets = method.nets
  nets = dataclasses.replace(
    nets,
    encoder=nets.encoder.clone(dtype=jnp.float64),
    decoder=nets.decoder.clone(dtype=jnp.float64),
  )
  return dataclasses.replace(method, nets=nets)


def main() -> None:
  """Prints the table."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--side", type=int, default=64, choices=(64, 128, 256))
  parser.add_argument("--batch", type=int, default=16)
  parser.add_argument("--steps", type=int, default=1, help="steps a call")
  args = parser.parse_args()
  if jax.default_backend() != "cpu":
    raise SystemExit("both sides run on the CPU: set JAX_PLATFORMS=cpu")
  config = settings(args)
  channels, latent = tuple(config.model.channels), config.model.latent
  shape = (args.side, args.side, 3)
  source = genlat_rivals.random_source(2 * args.batch, shape)
  run = genlat_rivals.make_run(config, source)
  parameters = torch_introvae.count(channels, latent)
  if parameters != genlat_rivals.count(run):
    raise SystemExit(f"{parameters} parameters, not {genlat_rivals.count(run)}")
  check_alike(config, source)
  pixels = source.read(np.arange(args.batch))["image"]
  images = torch.from_numpy(pixels / np.float32(255.0)).permute(0, 3, 1, 2)
  rivals = [genlat_rivals.rival("genlat", run, args.steps)]
  rivals += torch_introvae.rivals(numbers(run), images, args.steps)
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
