"""Memory that IntroVAE's alternating step needs on one TPU v5p chip.

  pip install libtpu
  JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 python -m benchmarks.introvae_memory

Compiles ahead of time; no TPU is needed. bfloat16; need = arguments + results
- results that reuse arguments + scratch + code. A minute to several each. With
`--accumulate` the compiler counts the operations of one part alone.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from ml_collections import ConfigDict

from configs import introspective
from genlat import methods, scans, sharding

LATENT = 512
CHANNELS = {
  128: (64, 128, 256, 512, 512),
  256: (32, 64, 128, 256, 512, 512),
  512: (32, 64, 128, 256, 512, 512, 512),
  1024: (16, 32, 64, 128, 256, 512, 512, 512),
}


def settings(side: int, batch: int, remat: bool, parts: int) -> ConfigDict:
  """IntroVAE of a size."""
  config = introspective.introvae(
    CHANNELS[side],
    LATENT if side > 128 else 256,
    margin=110.0,
    beta=0.05,
    batch_size=batch,
  )
  config.data.name, config.data.image_size = "folder", side
  config.model.dtype, config.model.remat = "bfloat16", remat
  config.optimizer.accumulate = parts
  config.steps, config.epoch_steps = 100, 10
  return config


def compile_step(config: ConfigDict, topology: str) -> Any:
  """The step for the first device of a topology."""
  side, batch = config.data.image_size, config.batch_size
  method = methods.build(config, (side, side, 3))
  chips = topologies.get_topology_desc(topology, platform="tpu").devices
  mesh = sharding.make_mesh(1, chips[:1])
  scans.use_platform("tpu")
  key = jax.eval_shape(lambda: jax.random.key(0))
  image = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
  state = jax.eval_shape(method.init, key, {"image": image})
  whole = sharding.replicated(mesh)
  place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
  step = sharding.compile(method.train_step, mesh, donate=(0,))
  arguments = jax.tree.map(place, (state, {"image": image}, key))
  with jax.set_mesh(mesh):
    return step.jitted.lower(*arguments).compile()


def main() -> None:
  """Prints a row per size."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--topology", default="v5p:1x1x1")
  parser.add_argument("--sides", default="128,256,512,1024")
  parser.add_argument("--batch", type=int, default=8)
  parser.add_argument("--accumulate", type=int, default=1)
  parser.add_argument("--remat", default="0,1", help="0, 1 or both")
  args = parser.parse_args()
  print(
    "side  batch parts remat  need GiB (state scratch code)  TFLOP compile s"
  )
  for side in map(int, args.sides.split(",")):
    for remat in map(int, args.remat.split(",")):
      config = settings(side, args.batch, bool(remat), args.accumulate)
      start = time.monotonic()
      row = f"{side:5d} {args.batch:5d} {args.accumulate:5d} {remat:5d}"
      try:
        compiled = compile_step(config, args.topology)
      except jax.errors.JaxRuntimeError as error:
        # More than the chip has: the compiler says how much it would need.
        line = next((x for x in str(error).splitlines() if "memory" in x), "")
        print(f"{row}  does not compile: {line.strip() or error}", flush=True)
        continue
      found = compiled.memory_analysis()
      state = (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
      )
      parts = (
        state,
        found.temp_size_in_bytes,
        found.generated_code_size_in_bytes,
      )
      gib = [x / 2**30 for x in (sum(parts), *parts)]
      flops = compiled.cost_analysis()["flops"] / 1e12
      print(
        f"{row} {gib[0]:8.2f} ({gib[1]:.2f} {gib[2]:.2f} {gib[3]:.2f})"
        f" {flops:8.2f} {time.monotonic() - start:6.0f}",
        flush=True,
      )


if __name__ == "__main__":
  main()
