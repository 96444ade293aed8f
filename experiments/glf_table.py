"""GLF's table of Fréchet distances (arXiv:1905.10485, table 1).

  python -m experiments.glf_table --runs=RUNS --inception=FILE [--epochs=N]

Trains each configuration below where its run is not finished yet, evaluates
it with 10,000 samples against the 10,000 test images, and prints our numbers
beside the paper's. The paper's are recalled from memory and not confirmed
(docs/results.md); rows of unlike protocol are not compared silently.
"""

from experiments import table
from experiments.table import Row

RECALLED = "FID {} (recalled, not confirmed)"
ROWS = tuple(
  Row(name, f"{name}.py", dataset, RECALLED.format(fid))
  for name, dataset, fid in (
    ("glf_mnist", "mnist", 8.2),
    ("vae_mnist", "mnist", 28.2),
    ("vae_flow_prior_mnist", "mnist", 28.3),
    ("vae_flow_posterior_mnist", "mnist", 26.7),
    ("glf_fashion_mnist", "fashion_mnist", 21.3),
    ("vae_fashion_mnist", "fashion_mnist", 57.5),
    ("glf_cifar10", "cifar10", 88.3),
    ("vae_cifar10", "cifar10", 142.5),
  )
)


def main() -> None:
  """Prints the table."""
  table.make(ROWS, table.arguments(__doc__, ROWS).parse_args())


if __name__ == "__main__":
  main()
