"""IntroVAE beside a plain VAE of the same networks, weights and budget.

  python -m experiments.introvae_table --runs=RUNS --inception=FILE [--epochs=N]

The paper's table 2 (MS-SSIM of 10,000 pairs at 128 pixels, FID of 50,000 images
at 1024 and 256) needs CelebA, CelebA-HQ or LSUN and weeks of GPUs; its numbers
are recalled from memory and not confirmed. At 1024 pixels the reference is the
training split, all that CelebA-HQ has of the kind; a split with fewer images
than 50,000 gives fewer on both sides. The small rows have no paper.
"""

from experiments import table
from experiments.table import Row

PAIRS = (
  "--config.evaluation.samples=20000",
  "--config.evaluation.diversity_side=128",
)
IMAGES = (
  "--config.evaluation.samples=50000",
  "--config.evaluation.diversity_side=128",
)
RECALLED = "{} (recalled, not confirmed)"
ROWS = (
  Row("introvae_mnist", "introvae_mnist.py", "mnist", ""),
  Row("introvae_mnist_vae", "introvae_mnist.py:vae", "mnist", ""),
  Row("soft_introvae_mnist", "soft_introvae_mnist.py", "mnist", ""),
  Row(
    "soft_introvae_fashion_mnist",
    "soft_introvae_fashion_mnist.py",
    "fashion_mnist",
    "",
  ),
  Row("introvae_faces64", "introvae_faces64.py", "lfw_128.zip", ""),
  Row("introvae_faces64_vae", "introvae_faces64.py:vae", "lfw_128.zip", ""),
  Row("introvae_cifar10", "introvae_cifar10.py", "cifar10", ""),
  Row("introvae_cifar10_vae", "introvae_cifar10.py:vae", "cifar10", ""),
  Row(
    "introvae_celeba128",
    "introvae_celeba128.py",
    "celeba",
    RECALLED.format("MS-SSIM .2719"),
    PAIRS,
  ),
  Row(
    "introvae_celebahq1024",
    "introvae_celebahq1024.py",
    "celebahq",
    RECALLED.format("FID 5.19"),
    (*IMAGES, "--config.evaluation.split=train"),
  ),
  Row(
    "introvae_lsun_bedroom256",
    "introvae_lsun_bedroom256.py",
    "lsun_bedroom",
    RECALLED.format("MS-SSIM .0532, FID 8.84"),
    IMAGES,  # of MS-SSIM, too: 25,000 pairs
  ),
)
SMALL = "introvae_mnist,introvae_mnist_vae"


def main() -> None:
  """Prints the table."""
  parser = table.arguments(__doc__, ROWS)
  parser.set_defaults(rows=SMALL, metrics="frechet,diversity,reconstruction")
  table.make(ROWS, parser.parse_args())


if __name__ == "__main__":
  main()
