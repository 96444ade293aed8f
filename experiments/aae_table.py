"""The learned prior against fixed ones (arXiv:1909.04443, tables 1 and 3).

  python -m experiments.aae_table --runs=RUNS --data=DATA --inception=FILE
      [--epochs=N] [--presets=WORDS]
  python -m experiments.aae_table ... --rows=ablation_none,ablation_a,...

Rows with `mnist` in their names are on MNIST at 32x32. The paper scores
CIFAR-10 by the Inception Score; here stands `class_score`, of a classifier
that genlat trains itself: orders can be compared, numbers cannot. The paper's
6.52 is that of the unconditional model in its tables; its result page has 6.52
for the supervised one, 6.02 for the unsupervised, and 7.31 for the
unconditional.
"""

from experiments import table
from experiments.table import Row

SCORES = {
  "none": "IS 2.15",
  "a": "IS about 3.05",
  "ab": "IS 3.69",
  "abc": "IS 6.52",
}
# Codes of 64 are the ablation's first and last row.
SIZES = {"mnist": (8, 100, 2000), "cifar10": (2000,)}
ROWS = (
  *(
    Row(f"ablation_{k}_mnist", f"ablation_{k}.py:mnist", "mnist", "")
    for k in SCORES
  ),
  *(
    Row(f"ablation_{k}", f"ablation_{k}.py", "cifar10", f"{v} (paper)")
    for k, v in SCORES.items()
  ),
  *(
    Row(f"{name}_{data}_code{d}", f"{name}_{data}.py:code{d}", data, "")
    for data, sizes in SIZES.items()
    for d in sizes
    for name in ("lp_aae", "aae")
  ),
  Row("aae_mnist_same", "aae_mnist.py:same", "mnist", ""),
  Row("aae_cifar10_same", "aae_cifar10.py:same", "cifar10", ""),
  *(
    Row(f"{name}_{data}_same", f"{name}_{data}.py:same", data, "")
    for data in ("mnist", "svhn", "cifar10")
    for name in ("lp_aae_supervised", "lp_aae_unsupervised")
  ),
  # Not the paper's: Q learns the labels of real images, too.
  Row(
    "lp_aae_supervised_mnist_taught",
    "lp_aae_supervised_mnist.py",
    "mnist",
    "",
    changes=("--config.aae.real_labels=1",),
  ),
  *(
    Row(
      f"lp_aae_{condition}_{data}",
      f"lp_aae_{condition}_{data}.py",
      data,
      paper if data == "cifar10" else "",
    )
    for data in ("mnist", "svhn", "cifar10")
    for condition, paper in (
      ("supervised", "IS 6.52 (result page)"),
      ("unsupervised", "IS 6.02 (result page)"),
    )
  ),
)
SMALL = ",".join(f"ablation_{k}_mnist" for k in SCORES)


def main() -> None:
  """Prints the table."""
  parser = table.arguments(__doc__, ROWS)
  parser.set_defaults(
    rows=SMALL, metrics="frechet,classes,clusters,reconstruction"
  )
  table.make(ROWS, parser.parse_args())


if __name__ == "__main__":
  main()
