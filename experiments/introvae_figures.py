"""The figures of the IntroVAE paper, from a finished run.

  python -m experiments.introvae_figures FIGURE --workdir=RUN --out=FILE.png

FIGURE is one of
  reconstructions  figure 3: test images beside their reconstructions
  samples          figures 3 and 4: new images
  losses           figure 5: reconstruction and the three KLs over the steps
  progress         figure 5: samples of the same codes as the training goes on,
                   a row each of the pictures in RUN/images
  interpolations   figure 6: between the codes of pairs of test images
  neighbours       appendix, figure 3: samples with the nearest training
                   images, by pixels and, with --inception=FILE, by features
                   (L2 of InceptionV3's; the paper has the cosine of LightCNN's;
                   `random` for a smoke run)
"""

import argparse
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

import genlat
from genlat import command, data, grids, pictures, sample
from genlat.data.source import Source
from genlat.metrics import extractors, features, neighbours
from genlat.trained import Trained

LOSSES = [
  panel
  for panel in pictures.CURVES
  if panel[0] in ("reconstruction", "kl_real", "spread")
]


def progress(workdir: pathlib.Path, n: int) -> np.ndarray:
  """The first row of `n` of the run's sample grids, uint8 `[n, S, H, W, C]`.

  Raises:
    SystemExit: if the run has drawn none.
  """
  found = (workdir / "images").glob("samples_*.png")
  files = sorted(found, key=lambda path: int(path.stem.split("_")[1]))
  if not files:
    raise SystemExit(f"{workdir}/images has no samples_*.png to show")
  chosen = np.linspace(0, len(files) - 1, min(n, len(files))).round()
  rows = []
  for i in chosen.astype(int):
    with Image.open(files[i]) as picture:
      pixels = np.atleast_3d(np.asarray(picture))
    rows.append(grids.first_row(pixels, pictures.SIDE))
  return np.stack(rows)


def nearest(
  model: Trained, n: int, seed: int, inception: str, sha256: str
) -> np.ndarray:
  """Rows of a sample, its 3 nearest by pixels and 3 by features."""
  made = model.sample(n, seed=seed)
  train = data.load(model.config.data, "train")

  def stream() -> Iterator[np.ndarray]:
    for rows in np.array_split(np.arange(len(train)), -(-len(train) // 256)):
      yield train.read(rows)["image"]

  columns = [made[:, None], _read(train, neighbours.nearest(made, stream(), 3))]
  if inception:
    extractor = extractors.by_weights(inception, sha256)
    found = neighbours.nearest(
      features.extract(extractor, [made]),
      features.features(extractor, stream()),
      3,
    )
    columns.append(_read(train, found))
  return np.concatenate(columns, 1)


def _read(source: Source, found: neighbours.Neighbours) -> np.ndarray:
  images = source.read(found.indices.reshape(-1))["image"]
  return images.reshape(*found.indices.shape, *images.shape[1:])


def main() -> None:
  """Writes one figure."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  kinds = ("reconstructions", "samples", "losses", "progress")
  others = ("interpolations", "neighbours")
  parser.add_argument("figure", choices=kinds + others)
  parser.add_argument("--workdir", type=pathlib.Path, required=True)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--n", type=int, default=16, help="images or rows")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--inception", default="", help="weight file")
  parser.add_argument(
    "--inception-sha256", default="", help="hash of one's own"
  )
  args = parser.parse_args()
  if args.figure == "losses":
    grids.curves(
      args.workdir / "metrics.jsonl", args.out, LOSSES, pictures.SHARES
    )
    print(args.out)
    return
  if args.figure == "progress":
    sample.write(args.out, progress(args.workdir, args.n))
    return
  model = genlat.load(args.workdir)
  if args.figure == "samples":
    sample.write(args.out, model.sample(args.n, seed=args.seed))
  elif args.figure == "neighbours":
    weights = args.inception, args.inception_sha256
    rows = nearest(model, args.n, args.seed, *weights)
    sample.write(args.out, rows)
  elif args.figure == "reconstructions":
    real = sample.real_images(model.config, args.n, args.seed)
    sample.write_pairs(args.out, real, model.reconstruct(real))
  else:
    real = sample.real_images(model.config, 2 * args.n, args.seed)
    ends = real[: args.n], real[args.n :]
    sample.write(args.out, model.interpolate(*ends, 10))


if __name__ == "__main__":
  command.answer(main)
