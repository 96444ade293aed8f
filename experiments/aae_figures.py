"""The figures of the learned-prior paper (arXiv:1909.04443), from a run.

  python -m experiments.aae_figures FIGURE --workdir=RUN --out=FILE.png

FIGURE is one of
  prior    figures 8 and 9: a sheet of 10 x 10 samples of the prior
  classes  figures 10 and 12: one noise a row, one label a column
  codes    figures 11 and 13: t-SNE of codes of the prior and of test images,
           embedded together; by label, and by where they come from
  sweep    figure 15: one noise a row, one word of --words a column, in place of
           the {} of --text, of a model of captions:
           --text="a small {} circle on white" --words=red,green,blue
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

import genlat
from genlat import command, data, grids
from genlat.trained import Trained

LIMIT = 70  # of the axes, as in the paper
ROWS = 8  # of a sweep


def embedded(
  model: Trained, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Points `[2n, 2]` of n codes of the prior and n of test images.

  Returns:
    The points, their labels, and whether each is the prior's.

  Raises:
    ValueError: for a set without labels, or with fewer test images.
  """
  from sklearn.manifold import TSNE

  source = data.load(model.config.data, "test")
  if not source.classes:
    raise ValueError(f"{model.config.data.name} has no labels to colour by")
  if n > len(source):
    raise ValueError(f"--n={n}: there are {len(source)} test images")
  batch = source.read(np.arange(n))
  labels = np.arange(n) % model.classes
  codes = [
    model.sample_codes(n, seed, labels),
    model.encode(batch["image"]),
  ]
  both = np.concatenate(codes)
  tsne = TSNE(
    perplexity=30.0,
    init="pca",
    learning_rate="auto",  # N / 12 in units of the first papers
    max_iter=1000,
    random_state=seed,
  )
  names = np.concatenate([labels, batch["label"]])
  return tsne.fit_transform(both), names, np.arange(len(both)) < n


def draw(
  path: pathlib.Path, points: np.ndarray, labels: np.ndarray, made: np.ndarray
) -> None:
  """Three views of one embedding: both kinds, the prior's, the images'."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(15, 5), layout="constrained")
  cover, prior, images = figure.subplots(1, 3)
  for name, rows in (("prior", made), ("images", ~made)):
    cover.scatter(*points[rows].T, s=4, label=name)
  for axis, name, rows in (
    (prior, "prior, by label", made),
    (images, "images, by label", ~made),
  ):
    for k in range(labels.max() + 1):
      chosen = rows & (labels == k)
      axis.scatter(*points[chosen].T, s=4, color=f"C{k % 10}", label=str(k))
    axis.set_title(name)
  for axis in (cover, prior, images):
    axis.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT))
    axis.legend(markerscale=3, loc="upper right")
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=120)


def sweep(
  model: Trained, text: str, words: Sequence[str], rows: int, seed: int
) -> np.ndarray:
  """Samples `[rows * words, H, W, C]` of captions that differ in one word.

  All columns of a row have the same noise.

  Raises:
    ValueError: for a model without captions, or a text without its place.
  """
  if not model.text:
    raise ValueError(f"{model.config.method} takes no captions")
  if "{}" not in text or not all(words):
    raise ValueError(
      "--text must hold {} where a word of --words=… is put; got"
      f" {text!r} and {','.join(words)!r}"
    )
  columns = [
    model.sample(rows, seed, text=[text.replace("{}", word)]) for word in words
  ]
  sheet = np.stack(columns, 1)
  return sheet.reshape(-1, *sheet.shape[2:])


def save(path: pathlib.Path, images: np.ndarray, columns: int) -> None:
  """Writes a sheet with the gutters of the paper's, and says where."""
  sheet = grids.grid(images, columns, border=True, fill=grids.BLACK)
  grids.save_png(path, sheet)
  print(path)


def main() -> None:
  """Writes one figure."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("figure", choices=("prior", "classes", "codes", "sweep"))
  parser.add_argument("--workdir", type=pathlib.Path, required=True)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--n", type=int, default=1000, help="codes of each kind")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--text", default="", help="with {} (sweep)")
  parser.add_argument("--words", default="", help="by comma (sweep)")
  args = parser.parse_args()
  model = genlat.load(args.workdir)
  if args.figure == "sweep":
    words = args.words.split(",")
    try:
      flat = sweep(model, args.text, words, ROWS, args.seed)
    except ValueError as error:
      raise SystemExit(str(error)) from None
    save(args.out, flat, len(words))
    return
  if args.figure != "prior" and not model.classes:
    raise SystemExit(f"the model in {args.workdir} has no labels")
  if args.figure == "codes":
    try:
      points = embedded(model, args.n, args.seed)
    except ValueError as error:
      raise SystemExit(str(error)) from None
    draw(args.out, *points)
    print(args.out)
  elif args.figure == "classes":
    sheet = model.class_sheet(10, args.seed)
    flat = sheet.reshape(-1, *sheet.shape[2:])
    save(args.out, flat, sheet.shape[1])
  else:
    save(args.out, model.sample(100, seed=args.seed), 10)


if __name__ == "__main__":
  command.answer(main)
