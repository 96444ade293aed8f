r"""How beta and the margin weigh copies against samples, one run a pair.

  python -m experiments.introvae_balance --runs=RUNS --out=FILE.png \
    --config=introvae_faces64.py --data=FILE_OR_FOLDER \
    --betas=0.25,0.5,1 --margins=75,110 [--epochs=N]

Appendix D, figure 2 of the IntroVAE paper: at one margin a larger beta gives
better copies and less varied samples, and a larger beta asks for a larger
margin. Prints the scores of each pair, and draws for each the same test images,
their copies, and samples, below each other.
"""

import argparse
import itertools
import pathlib

import numpy as np

import genlat
from experiments import table
from experiments.table import Row
from genlat import command, sample


def main() -> None:
  """Trains what is not finished, prints the scores and draws the picture."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  table.common(parser)
  parser.set_defaults(metrics="diversity,reconstruction")
  parser.add_argument("--config", default="introvae_mnist.py")
  parser.add_argument("--betas", required=True, help="by comma")
  parser.add_argument("--margins", required=True, help="by comma")
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--n", type=int, default=8, help="images in a row")
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  betas, margins = args.betas.split(","), args.margins.split(",")
  blocks = []
  for beta, margin in itertools.product(betas, margins):
    row = Row(
      f"beta_{beta}_margin_{margin}",
      args.config,
      "",
      "",
      changes=(
        f"--config.introvae.beta={beta}",
        f"--config.introvae.margin={margin}",
      ),
    )
    table.tell(row, args)
    model = genlat.load(args.runs / row.name)
    real = sample.real_images(model.config, args.n, args.seed)
    made = model.sample(args.n, seed=args.seed)
    blocks += [real, model.reconstruct(real), made]
  sample.write(args.out, np.stack(blocks))


if __name__ == "__main__":
  command.answer(main)
