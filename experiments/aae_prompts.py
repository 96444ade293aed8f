"""Do colour and shape come out as asked? A text model of drawn shapes, scored.

  python -m experiments.aae_prompts WORKDIR [--n=N] [--draws=DRAWS] [--steps=N]
      [--out=FILE.png]

Every pair of shape and colour is asked for N times, over all sizes and grounds
in turn, in words of the training captions and in others: a phrase never seen
that names the figure first, and one that names the ground first.
Two classifiers, trained by genlat on real shapes of all pairs, say what came
out; beside them stands what they say of the real test images. Pairs that the
training images lacked (`config.data.withhold`) are counted apart.

And does one caption have many images? Of DRAWS images of each of 48 captions,
one a pair, sizes in turn: the variance of a pixel (of 0 to 1), and in how many
of the nine places a third classifier finds the shape (exp of the entropy);
beside both, those of as many real images of the same scenes. All is printed
and, with its protocol, kept as scores/STEP/prompts.json.
"""

import argparse
import collections
import dataclasses
import pathlib
import warnings
from typing import Any

import numpy as np

import genlat
from experiments import aae_figures
from genlat import command, data, evaluate
from genlat.data import synthetic
from genlat.metrics import classifier
from genlat.metrics.card import Card, write_score
from genlat.metrics.features import QUANTISATION
from genlat.trained import Trained, UnknownWords

PLAIN = synthetic.PHRASES[0]
REWORDED = "one {colour} {shape} of {size} size over plain {background}"
REORDERED = "upon {background} rests one {size} {colour} {shape}"
PHRASES = {"plain": PLAIN, "reworded": REWORDED, "ground first": REORDERED}
JUDGED = ("shape", "colour")
PLACE, DRAWS = "position", 16
Scene = tuple[int, ...]  # shape, colour, size, ground
PAIRS = len(synthetic.SHAPES), len(synthetic.COLOURS)
COLUMN = {name: i for i, name in enumerate(synthetic.ATTRIBUTES)}
REAL = 5000  # test images at most
STEPS = 3000  # of each classifier, unless told


class Labelled:
  """A source whose label is one of its attributes."""

  def __init__(self, source: Any, attribute: str) -> None:
    """Of the attribute of this name."""
    self._source = source
    self._column = COLUMN[attribute]
    self.classes = synthetic.ATTRIBUTES[attribute]
    self.name = f"{source.name} by {attribute}"
    self.fingerprint = f"{source.fingerprint}-{attribute}"

  def __len__(self) -> int:
    """Number of examples."""
    return len(self._source)

  def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Images and the attribute as 'label'."""
    batch = self._source.read(indices)
    return {
      "image": batch["image"],
      "label": batch["attribute"][:, self._column],
    }


@dataclasses.dataclass(frozen=True)
class Judges:
  """A classifier an attribute."""

  by: dict[str, classifier.Judge]

  def right(self, images: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Whether each attribute is as asked, bool `[N, 2]`."""
    return np.stack(
      [
        self.by[name].logits([images]).argmax(1) == asked[:, i]
        for i, name in enumerate(JUDGED)
      ],
      1,
    )


def all_pairs(model: Trained) -> Any:
  """The images of the model's training, with those of pairs that it lacked."""
  config = model.config.data.copy_and_resolve_references().unlock()
  config.withhold = 0
  return data.load(config, "train")


def judges(model: Trained, steps: int) -> Judges:
  """Classifiers of what is judged, trained on real shapes of all pairs."""
  source = all_pairs(model)
  return Judges(
    {
      name: classifier.trained(
        Labelled(source, name), len(synthetic.ATTRIBUTES[name]), steps
      )
      for name in (*JUDGED, PLACE)
    }
  )


def prompts(n: int, phrase: str) -> tuple[list[str], np.ndarray]:
  """N captions a pair, and shape and colour of each, int `[48 N, 2]`."""
  lines, asked = [], []
  for shape, colour in np.ndindex(*PAIRS):
    grounds = grounds_of(colour)
    for i in range(n):
      size = i % len(synthetic.SIZES)
      ground = grounds[(i + shape) % len(grounds)]
      lines.append(caption((shape, colour, size, ground), phrase))
      asked.append((shape, colour))
  return lines, np.array(asked)


def grounds_of(colour: int) -> list[int]:
  """Those on which a shape of this colour is seen."""
  return [ground for ground in range(PAIRS[1]) if ground != colour]


def caption(scene: Scene, phrase: str) -> str:
  """A scene in the words of a phrase."""
  shape, colour, size, ground = scene
  colours = list(synthetic.COLOURS)
  return phrase.format(
    shape=synthetic.SHAPES[shape],
    colour=colours[colour],
    size=synthetic.SIZES[size],
    background=colours[ground],
  )


def shares(right: np.ndarray) -> dict[str, float]:
  """Shares of shapes, colours and both that are right."""
  return {
    "shape": float(right[:, 0].mean()),
    "colour": float(right[:, 1].mean()),
    "both": float(right.all(1).mean()),
    "images": len(right),
  }


def score(
  model: Trained, judge: Judges, source: Any, n: int, seed: int
) -> dict[str, dict[str, float]]:
  """The table's rows by name; `source` holds the real test images."""
  test = source.read(np.arange(min(len(source), REAL)))
  real = judge.right(test["image"], test["attribute"][:, :2])
  without = synthetic.withheld(model.config.data.withhold)
  pairs = [(int(s), int(c)) for s, c in test["attribute"][:, :2]]
  held = np.array([pair in without for pair in pairs])
  places = judge.by[PLACE].logits([test["image"]]).argmax(1)
  known = float((places == test["attribute"][:, COLUMN[PLACE]]).mean())
  rows = {"real test images": shares(real) | {"place": known}}
  if held.any():
    rows["real, pairs never seen"] = shares(real[held])
  for words, phrase in PHRASES.items():
    lines, asked = prompts(n, phrase)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore", UnknownWords)
      images = model.sample(len(lines), seed, text=lines)
    right = judge.right(images, asked)
    unseen = np.array([(int(s), int(c)) in without for s, c in asked])
    rows[f"{words}, pairs in training"] = shares(right[~unseen])
    if unseen.any():
      rows[f"{words}, pairs never seen"] = shares(right[unseen])
  return rows


def spread(judge: Judges, images: np.ndarray) -> dict[str, float]:
  """How images of one caption differ: uint8 `[captions, draws, H, W, C]`."""
  from scipy import special

  captions, draws = images.shape[:2]
  variance = (images / 255.0).var(1, ddof=1).mean()
  flat = images.reshape(-1, *images.shape[2:])
  seen = judge.by[PLACE].logits([flat]).argmax(1).reshape(captions, draws)
  share = np.eye(len(synthetic.POSITIONS))[seen].mean(1)
  entropy = special.entr(share).sum(1)
  return {
    "variance": float(variance),
    "places": float(np.exp(entropy).mean()),
    "captions": captions,
    "draws": draws,
  }


def variety(
  model: Trained, judge: Judges, source: Any, draws: int, seed: int
) -> dict[str, dict[str, float]]:
  """Rows of `spread` by name; `source` holds real images of all pairs."""
  batch = source.read(np.arange(len(source)))
  found: dict[Scene, list[int]] = collections.defaultdict(list)
  for i, row in enumerate(np.delete(batch["attribute"], COLUMN[PLACE], 1)):
    found[tuple(row.tolist())].append(i)
  often = {scene for scene, rows in found.items() if len(rows) >= draws}
  asked = scenes(often)
  text = [caption(scene, PLAIN) for scene in asked for _ in range(draws)]
  made = model.sample(len(text), seed, text=text)
  made = made.reshape(-1, draws, *made.shape[1:])
  rows = {"one caption": spread(judge, made)}
  full = [found[scene][:draws] for scene in asked if scene in often]
  if full:
    rows["its scene, real"] = spread(judge, batch["image"][np.array(full)])
  return rows


def scenes(often: set[Scene]) -> list[Scene]:
  """A scene a pair, sizes in turn, of those that have real images enough.

  Grounds in turn, of those with which it has; of all where there is none.
  """
  chosen = []
  for i, (shape, colour) in enumerate(np.ndindex(*PAIRS)):
    size = i % len(synthetic.SIZES)
    every = [(shape, colour, size, ground) for ground in grounds_of(colour)]
    good = [scene for scene in every if scene in often] or every
    chosen.append(good[i % len(good)])
  return chosen


def sheet(model: Trained, seed: int) -> np.ndarray:
  """One shape a row and one colour a column, `[48, H, W, C]`."""
  lines = [
    PLAIN.format(
      shape=shape,
      colour=colour,
      size="large",
      background="white" if colour != "white" else "black",
    )
    for shape in synthetic.SHAPES
    for colour in synthetic.COLOURS
  ]
  return model.sample(len(lines), seed, text=lines)


def card(
  model: Trained, judge: Judges, source: Any, n: int, draws: int, seed: int
) -> Card:
  """How the rows came about."""
  phrases = ", ".join(map(repr, PHRASES.values()))
  return dataclasses.replace(
    evaluate.card(model, source),
    network="; ".join(one.description for one in judge.by.values()),
    sha256=" ".join(one.sha256 for one in judge.by.values()),
    quantisation=QUANTISATION,
    split="test",
    reference_count=min(len(source), REAL),
    sample_count=(len(PHRASES) * n + draws) * PAIRS[0] * PAIRS[1],
    sampler=f"{n} images a pair and phrase: {phrases}; {draws} of each of 48"
    " captions, sizes in turn, and as many real images of their scenes",
    seed=seed,
  )


def main() -> None:
  """Prints and keeps the table, and draws the sheet where one is asked for."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("workdir", type=pathlib.Path)
  parser.add_argument("--n", type=int, default=21, help="images a pair")
  parser.add_argument(
    "--draws", type=int, default=DRAWS, help="images of one caption, 2 or more"
  )
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--steps", type=int, default=STEPS, help="of a judge")
  parser.add_argument("--out", type=pathlib.Path, help="sheet of all pairs")
  args = parser.parse_args()
  if args.draws < 2:
    parser.error(f"--draws={args.draws}: a variance needs 2")
  model = genlat.load(args.workdir)
  if not model.text or model.config.data.name != "shapes":
    raise SystemExit(f"{args.workdir} holds no text model of shapes")
  judge = judges(model, args.steps)
  test, real = data.load(model.config.data, "test"), all_pairs(model)
  rows = score(model, judge, test, args.n, args.seed)
  varied = variety(model, judge, real, args.draws, args.seed)
  print(f"step {model.step}")
  for name, row in rows.items():
    cells = "  ".join(f"{k} {row[k]:6.1%}" for k in ("shape", "colour", "both"))
    print(f"{name:28s} {cells}  of {row['images']}")
  for name, row in varied.items():
    cells = f"variance {row['variance']:.5f}  places {row['places']:.1f} of 9"
    print(f"{name:28s} {cells}  of {row['captions']:.0f} x {args.draws}")
  path = args.workdir / "scores" / str(model.step) / "prompts.json"
  protocol = card(model, judge, test, args.n, args.draws, args.seed)
  write_score(path, "prompts", rows | varied, protocol)
  if args.out:
    images = sheet(model, args.seed)
    aae_figures.save(args.out, images, len(synthetic.COLOURS))


if __name__ == "__main__":
  command.answer(main)
