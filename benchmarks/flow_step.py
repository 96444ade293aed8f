"""A train step of the flow prior alone, against PyTorch.

  python -m benchmarks.flow_step

64 dimensions, 4 two-sided affine couplings with subnets of 256 units (or
`--hidden=64`, those of configs/glf_mnist.py), no batch normalisation, batch
256. Needs `pip install torch psutil`.
"""

from typing import Any

import jax
import numpy as np
import optax

from benchmarks import alternate, genlat_rivals, torch_peers
from benchmarks.alternate import Rival
from genlat import scans, sharding
from genlat import state as states
from genlat.losses.flow import flow_nll
from genlat.nets.coupling import Flow
from genlat.state import Player, State

DIMENSION = 64


def genlat_rival(
  codes: np.ndarray, hidden: int, calls: int, steps: int
) -> Rival:
  """The step of genlat, `calls` of them a dispatch.

  Args:
    codes: `[B, DIMENSION]`.
    hidden: units of a subnet's layers.
    calls: steps a dispatch.
    steps: steps a call of the rival, a multiple of `calls`.
  """
  flow = Flow(DIMENSION, hidden=hidden)
  adam = Player(("flow",), optax.adam(1e-4), convolutional=False)
  players = {"flow": adam}

  def loss(params: dict[str, Any], part: jax.Array):
    (noise, logdet), stats = states.apply(
      flow, params["flow"], {}, part, train=True
    )
    nll = flow_nll(noise, logdet).mean()
    return nll, ({"flow_nll": nll}, {"flow": stats})

  def one(state: State, data: jax.Array):
    state, metrics = states.descend(state, players, "flow", loss, data)
    return states.advance(state, 0.0), metrics

  def dispatch(state: State, data: jax.Array):
    if calls == 1:
      return one(state, data)
    return scans.scan(
      lambda state, _: one(state, data),
      state,
      None,
      calls,
      convolutional=False,
    )

  compiled = sharding.compile(dispatch, donate=(0,))
  params, stats = states.initialise(flow, jax.random.key(0), codes)
  state = states.create({"flow": params}, {"flow": stats}, players)
  data = jax.device_put(codes)

  def run() -> None:
    nonlocal state
    late = []
    for _ in range(steps // calls):
      state, metrics = compiled(state, data)
      late.append(metrics["flow_nll"])
      if len(late) > genlat_rivals.LATE:
        late.pop(0).block_until_ready()
    jax.block_until_ready(state)

  name = f"genlat, {calls} steps a dispatch" if calls > 1 else "genlat"
  return Rival(name, run, steps)


def main() -> None:
  """Prints the table."""
  parser = alternate.arguments(__doc__)
  parser.add_argument("--batch", type=int, default=256)
  parser.add_argument("--hidden", type=int, default=256)
  parser.add_argument("--steps", type=int, default=40, help="steps a call")
  args = parser.parse_args()
  shape = (args.batch, DIMENSION)
  codes = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
  rivals = [
    genlat_rival(codes, args.hidden, calls, args.steps) for calls in (8, 1)
  ]
  rivals += torch_peers.rivals(
    lambda: torch_peers.Flow(DIMENSION, hidden=args.hidden),
    torch_peers.flow_loss,
    codes,
    args.steps,
  )
  parameters = torch_peers.count(
    torch_peers.Flow(DIMENSION, hidden=args.hidden)
  )
  alternate.report(
    f"flow prior, {parameters:,} parameters, batch {args.batch}, float32",
    alternate.measure(rivals, args),
    args.batch,
  )


if __name__ == "__main__":
  main()
