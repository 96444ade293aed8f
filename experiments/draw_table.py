"""DRAW on binarised MNIST (arXiv:1502.04623, table 2), and its ablations.

  python -m experiments.draw_table --runs=RUNS --data=DATA [--epochs=N]
  python -m experiments.draw_table ... --rows=draw_mnist,draw_noattention_mnist

By default: ten steps with attention, without it, and with convolutions at
reading and writing, at one budget (does convolution help?). `elbo_nats` is
minus the paper's bound.
"""

from experiments import table
from experiments.table import Row

DATA = "binarized_mnist"
ABLATIONS = ("noattention", "read_only", "write_only", "noerror", "zero_start")
ROWS = (
  Row("draw_mnist", "draw_mnist.py", DATA, "bound 80.97 nats"),
  Row(
    "draw_noattention_mnist",
    "draw_noattention_mnist.py",
    DATA,
    "bound 87.40 nats, sizes not stated",
  ),
  Row("draw_fast_mnist", "draw_fast_mnist.py", DATA, ""),
  *(
    Row(f"draw_fast_mnist_{word}", f"draw_fast_mnist.py:{word}", DATA, "")
    for word in ABLATIONS
  ),
  Row("conv_draw_a_mnist", "conv_draw_a_mnist.py", DATA, ""),
  Row(
    "conv_draw_a_mnist_noattention",
    "conv_draw_a_mnist.py:noattention",
    DATA,
    "",
  ),
  Row("conv_draw_b_mnist", "conv_draw_b_mnist.py", DATA, ""),
)
SMALL = ",".join(
  ("draw_fast_mnist", "draw_fast_mnist_noattention", "conv_draw_a_mnist")
)


def main() -> None:
  """Prints the table."""
  parser = table.arguments(__doc__, ROWS)
  parser.set_defaults(rows=SMALL, metrics="likelihood,reconstruction")
  table.make(ROWS, parser.parse_args())


if __name__ == "__main__":
  main()
