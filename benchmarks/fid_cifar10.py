"""Checks the whole Fréchet pipeline against a published number.

5000 training against 5000 test images of CIFAR-10, TensorFlow 1's resize:
torch-fidelity's continuous integration gives 10.3233274 with float32 weights;
with kernels in half precision (inception_fid_fp16.npz) it is 10.3255.

  python benchmarks/fid_cifar10.py --data=cifar10.npz --weights=PATH.npz

`cifar10.npz` holds x_train and x_test, uint8 [N, 32, 32, 3] or [N, 3, 32, 32],
in the original order. Each split is chosen by a fresh RandomState(2020).
"""

import time

import numpy as np
from absl import app, flags

from genlat import sharding

_DATA = flags.DEFINE_string("data", None, "cifar10.npz", required=True)
_WEIGHTS = flags.DEFINE_string("weights", None, "Inception", required=True)
_RESIZE = flags.DEFINE_enum("resize", "tf1", ["tf1", "clean"], "convention")
_COUNT = flags.DEFINE_integer("count", 5000, "images of each split")

EXPECTED, TOLERANCE = 10.323, 0.005


def chosen(images: np.ndarray, count: int) -> np.ndarray:
  order = np.random.RandomState(2020).choice(len(images), count, replace=False)
  return images[order]


def main(_: list[str]) -> None:
  sharding.raise_nproc()
  from genlat.metrics import extractors, features, frechet

  extractor = extractors.inception_extractor(_WEIGHTS.value, _RESIZE.value)
  with np.load(_DATA.value, allow_pickle=False) as archive:
    splits = {name: archive[name] for name in ("x_train", "x_test")}
  found = {}
  for name, images in splits.items():
    images = chosen(images, _COUNT.value)
    if images.shape[1] == 3:
      images = images.transpose(0, 2, 3, 1)
    start = time.perf_counter()
    found[name] = features.statistics(extractor, [images])
    rate = len(images) / (time.perf_counter() - start)
    print(f"{name}: {len(images)} images, {rate:.1f} images/s", flush=True)
  score = frechet.from_statistics(found["x_train"], found["x_test"])
  print(f"Fréchet distance, {_RESIZE.value}: {score:.7f}")
  if _RESIZE.value == "tf1" and _COUNT.value == 5000:
    good = abs(score - EXPECTED) <= TOLERANCE
    print(f"expected {EXPECTED} +- {TOLERANCE}: {'good' if good else 'BAD'}")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
  app.run(main)
