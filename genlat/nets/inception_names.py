"""PyTorch's names of InceptionV3's convolutions, as TensorFlow's.

The weights of the Fréchet distance are published under both: TensorFlow's
2015 graph names `mixed_4/tower/conv_1`, PyTorch's port of the same numbers
`Mixed_6b.branch7x7_2`.
"""

from collections.abc import Mapping

import numpy as np

_PARTS = {
  "conv.weight": "weight",
  "bn.weight": "gamma",
  "bn.bias": "beta",
  "bn.running_mean": "mean",
  "bn.running_var": "var",
}

_STEM = {
  "Conv2d_1a_3x3": "conv",
  "Conv2d_2a_3x3": "conv_1",
  "Conv2d_2b_3x3": "conv_2",
  "Conv2d_3b_1x1": "conv_3",
  "Conv2d_4a_3x3": "conv_4",
}


def _tower(branch: str, tower: str, length: int) -> dict[str, str]:
  """`branch_1`, `branch_2`, ... are `tower/conv`, `tower/conv_1`, ..."""
  names = ["conv"] + [f"conv_{i}" for i in range(1, length)]
  return {f"{branch}_{i}": tower + n for i, n in enumerate(names, 1)}


_BLOCK_35 = {
  "branch1x1": "conv",
  **_tower("branch5x5", "tower/", 2),
  **_tower("branch3x3dbl", "tower_1/", 3),
  "branch_pool": "tower_2/conv",
}
_REDUCE_35 = {"branch3x3": "conv", **_tower("branch3x3dbl", "tower/", 3)}
_BLOCK_17 = {
  "branch1x1": "conv",
  **_tower("branch7x7", "tower/", 3),
  **_tower("branch7x7dbl", "tower_1/", 5),
  "branch_pool": "tower_2/conv",
}
_REDUCE_17 = {
  **_tower("branch3x3", "tower/", 2),
  **_tower("branch7x7x3", "tower_1/", 4),
}
_BLOCK_8 = {
  "branch1x1": "conv",
  "branch3x3_1": "tower_conv",
  "branch3x3_2a": "tower_mixed_conv",
  "branch3x3_2b": "tower_mixed_conv_1",
  **_tower("branch3x3dbl", "tower_1_", 2),
  "branch3x3dbl_3a": "tower_1_mixed_conv",
  "branch3x3dbl_3b": "tower_1_mixed_conv_1",
  "branch_pool": "tower_2_conv",
}

_BLOCKS = {
  "Mixed_5b": ("mixed", _BLOCK_35),
  "Mixed_5c": ("mixed_1", _BLOCK_35),
  "Mixed_5d": ("mixed_2", _BLOCK_35),
  "Mixed_6a": ("mixed_3", _REDUCE_35),
  "Mixed_6b": ("mixed_4", _BLOCK_17),
  "Mixed_6c": ("mixed_5", _BLOCK_17),
  "Mixed_6d": ("mixed_6", _BLOCK_17),
  "Mixed_6e": ("mixed_7", _BLOCK_17),
  "Mixed_7a": ("mixed_8", _REDUCE_17),
  "Mixed_7b": ("mixed_9", _BLOCK_8),
  "Mixed_7c": ("mixed_10", _BLOCK_8),
}

CONVOLUTIONS = _STEM | {
  f"{torch}.{branch}": f"{block}/{name}"
  for torch, (block, branches) in _BLOCKS.items()
  for branch, name in branches.items()
}


def renamed(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
  """`<convolution>:<part>` for PyTorch's names; others are left out.

  Arrays that already have TensorFlow's names come back as they are.
  """
  if "Conv2d_1a_3x3.conv.weight" not in arrays:
    return arrays
  return {
    f"{name}:{part}": arrays[f"{torch}.{suffix}"]
    for torch, name in CONVOLUTIONS.items()
    for suffix, part in _PARTS.items()
    if f"{torch}.{suffix}" in arrays
  }
