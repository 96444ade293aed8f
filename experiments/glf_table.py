"""GLF's table of Fréchet distances (arXiv:1905.10485, table 1).

  python -m experiments.glf_table --runs=RUNS --inception=FILE [--epochs=N]

Trains each configuration below where its run is not finished yet, evaluates
it with 10,000 samples against the test images (all: 10,000, of CelebA 19,962),
and prints our numbers beside the paper's. Rows of CelebA and of perceptual
losses are asked for by --rows; the latter need --vgg. The paper's are recalled
from memory and not confirmed (docs/results.md); rows of unlike protocol are not
compared silently.
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
    ("glf_celeba", "celeba", 53.2),
    ("vae_celeba", "celeba", 71.0),
    ("glf_perceptual_mnist", "mnist", 5.8),
    ("glf_perceptual_fashion_mnist", "fashion_mnist", 10.3),
    ("glf_perceptual_cifar10", "cifar10", 44.6),
    ("glf_perceptual_celeba", "celeba", 41.8),
  )
)
# What needs neither CelebA nor VGG's weights.
SMALL = ",".join(row.name for row in ROWS[:8])


def main() -> None:
  """Prints the table."""
  parser = table.arguments(__doc__, ROWS)
  parser.set_defaults(rows=SMALL)
  table.make(ROWS, parser.parse_args())


if __name__ == "__main__":
  main()
