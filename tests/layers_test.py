"""The walls of the house: who may import whom, and what stands where."""

import ast
import graphlib
import json
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# The loop and its kin, what they run on, and what serves them.
RUNS = {
  "checks",
  "evaluate",
  "generation",
  "identity",
  "loading",
  "pictures",
  "recorder",
  "run",
  "sample",
  "train",
  "trained",
}
PARTS = {"methods", "priors", "data", "metrics", "optimizers", "texts"}
SERVICES = {"checkpoint", "films", "grids", "logbook", "watchdog", "workdir"}
BASE = {"state", "scans", "sharding", "files"}
MODEL = {"nets", "losses", "distributions", "state", "optimizers", "weights"}

# Who -> whom: the parts of genlat that each part may import, itself included
# where it is a package. "genlat" is the package's own face, genlat.load.
LAYERS: dict[str, set[str]] = {
  "main": {"command"},
  "experiments": {"command", "genlat", "data", "grids", "metrics"} | RUNS,
  "colabs": {"genlat"} | RUNS,
  "configs": {"workdir"},
  "genlat": {"loading"},
  "command": {"data", "films", "sharding", "watchdog"} | RUNS,
  **{run: RUNS | PARTS | SERVICES | BASE for run in RUNS},
  "methods": MODEL | {"scans"},
  "priors": MODEL | {"files", "scans", "sharding"},
  "metrics": {"files", "nets", "distributions", "sharding", "weights"},
  "texts": {"files", "losses", "nets", "sharding"},
  "data": {"state", "sharding"},
  "checkpoint": {"state", "sharding"},
  "logbook": {"files", "state", "sharding"},
  "films": {"files", "grids"},
  "grids": {"files", "state", "sharding"},
  "optimizers": {"state"},
  "losses": {"distributions"},
  "nets": {"scans"},
  "state": {"scans", "sharding"},
  "distributions": set(),
  "scans": set(),
  "sharding": set(),
  "watchdog": set(),
  "weights": set(),
  "workdir": {"files"},
  "files": set(),
}

# What -> the parts of genlat where it may stand; by dotted name, and all that
# lies below it.
PLACES: dict[str, set[str]] = {
  "jax.jit": {"sharding"},
  "jax.experimental.pjit": set(),
  "jax.pmap": set(),
  "flax.linen.jit": set(),
  "orbax": {"checkpoint"},
  "pickle.load": set(),
  "pickle.loads": set(),
  "tensorflow": set(),
  "torch": set(),
}


def _sources(root: pathlib.Path) -> Iterator[tuple[str, ast.Module]]:
  """Path and syntax tree of every file and notebook that has a layer."""
  paths = [root / "main.py"]
  for folder in ("genlat", "configs", "experiments", "colabs"):
    paths += sorted((root / folder).rglob("*.py"))
    paths += sorted((root / folder).rglob("*.ipynb"))
  for path in paths:
    if path.exists():
      name = path.relative_to(root).as_posix()
      yield name, ast.parse(_code(path), name)


def _code(path: pathlib.Path) -> str:
  if path.suffix == ".py":
    return path.read_text()
  cells = json.loads(path.read_text())["cells"]
  lines = [
    line
    for cell in cells
    if cell["cell_type"] == "code"
    for line in "".join(cell["source"]).splitlines()
  ]
  return "\n".join(line for line in lines if line[:1] not in ("%", "!"))


def _layer(name: str) -> str:
  """'genlat/nets/conv.py' -> 'nets', 'genlat/__init__.py' -> 'genlat'."""
  parts = name.removesuffix(".py").split("/")
  if parts[0] != "genlat":
    return parts[0]
  return "genlat" if parts[1] == "__init__" else parts[1]


def _imports(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
  """Line and dotted name of all that a file imports, wherever it does."""
  package = name.removesuffix(".py").split("/")[:-1]
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      for alias in node.names:
        yield node.lineno, alias.name
    elif isinstance(node, ast.ImportFrom):
      base = package[: len(package) - node.level + 1] if node.level else []
      base = ".".join([*base, *([node.module] if node.module else [])])
      for alias in node.names:
        yield node.lineno, f"{base}.{alias.name}"


def _modules(root: pathlib.Path) -> set[str]:
  """Dotted names of genlat's modules and packages."""
  found = set()
  for path in (root / "genlat").rglob("*.py"):
    parts = path.relative_to(root).with_suffix("").parts
    found.add(".".join(parts).removesuffix(".__init__"))
  return found


def _module(dotted: str, modules: set[str]) -> str:
  """The module that an imported name lies in."""
  while dotted not in modules and "." in dotted:
    dotted = dotted.rpartition(".")[0]
  return dotted


def _uses(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
  """Line and full dotted name of everything imported or used."""
  names = {}
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      for alias in node.names:
        root = alias.name.partition(".")[0]
        names[alias.asname or root] = alias.name if alias.asname else root
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
      for alias in node.names:
        names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
  yield from _imports(name, tree)
  for node in ast.walk(tree):
    if isinstance(node, ast.Attribute):
      root, _, rest = ast.unparse(node).partition(".")
      yield node.lineno, f"{names.get(root, root)}.{rest}"


def _registered(root: pathlib.Path) -> set[str]:
  """Modules of the methods that METHODS lists."""
  path = root / "genlat/methods/__init__.py"
  if not path.exists():
    return set()
  tree = ast.parse(path.read_text())
  entries = {
    name.id
    for node in tree.body
    if isinstance(node, ast.Assign | ast.AnnAssign)
    and "METHODS" in ast.unparse(node).partition("=")[0]
    for name in ast.walk(node)
    if isinstance(name, ast.Name)
  }
  return {
    _module(dotted, _modules(root))
    for _, dotted in _imports("genlat/methods/__init__.py", tree)
    if dotted.rpartition(".")[2] in entries
  }


def broken_rules(root: pathlib.Path) -> list[str]:
  """One line per breach of the tables above in the tree at `root`."""
  found, modules, methods = [], _modules(root), _registered(root)
  graph: dict[str, set[str]] = {}
  for name, tree in _sources(root):
    layer = _layer(name)
    if layer not in LAYERS:
      found.append(f"{name}: {layer} has no row in LAYERS")
      continue
    own = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for line, dotted in _imports(name, tree):
      if dotted.partition(".")[0] != "genlat":
        continue
      target = _module(dotted, modules)
      graph.setdefault(own, set()).add(target)
      part = f"{dotted}.".split(".")[1]
      part = part if part in LAYERS else "genlat"
      if part not in LAYERS[layer] | ({layer} - {"genlat"}):
        found.append(f"{name}:{line}: {layer} may not import {dotted}")
      if layer == "methods" and own != "genlat.methods" and target in methods:
        found.append(f"{name}:{line}: one method imports another, {target}")
    for line, dotted in _uses(name, tree):
      for what, places in PLACES.items():
        if f"{dotted}.".startswith(f"{what}.") and layer not in places:
          found.append(f"{name}:{line}: {what} may not stand here")
    for node in ast.walk(tree):
      if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
        if ast.unparse(node.value) != "False":
          found.append(f"{name}:{node.value.lineno}: allow_pickle is not False")
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    found.append(f"imports in a circle: {' <- '.join(error.args[1])}")
  return found


def test_genlat_keeps_the_layers():
  assert not (found := broken_rules(ROOT)), "\n".join(found)


def test_the_tables_name_no_part_that_is_gone():
  parts = {_layer(name) for name, _ in _sources(ROOT)}
  named = set(LAYERS) | set().union(*LAYERS.values(), *PLACES.values())
  # Folders of a user's own may be empty.
  assert named - parts <= {"experiments", "colabs"}


SOUND = {
  "main.py": "from genlat import command\n",
  "genlat/command.py": "def run():\n  from genlat import train\n",
  "genlat/__init__.py": "",
  "genlat/train.py": "from genlat import methods, sharding\n",
  "genlat/sharding.py": "import jax\nf = jax.jit(len)\n",
  "genlat/scans.py": "from jax import lax\n",
  "genlat/checkpoint.py": "import orbax.checkpoint as ocp\n",
  "genlat/nets/__init__.py": "",
  "genlat/nets/conv.py": "from genlat import scans\n",
  "genlat/losses/__init__.py": "",
  "genlat/losses/elbo.py": "import jax.numpy as jnp\n",
  "genlat/methods/__init__.py": (
    "from genlat.methods.glf import Glf\nfrom genlat.methods.vae import Vae\n"
    "METHODS = {'glf': Glf.build, 'vae': Vae.build}\n"
  ),
  "genlat/methods/parts.py": "from genlat.nets import conv\n",
  "genlat/methods/glf.py": "from genlat.methods.parts import conv\n",
  "genlat/methods/vae.py": "from . import parts\n",
}

BREACHES = [
  ("genlat/nets/conv.py", "from genlat.losses import elbo", "nets may not"),
  ("genlat/nets/conv.py", "import genlat.losses.elbo", "nets may not"),
  ("genlat/nets/conv.py", "from ..losses import elbo", "nets may not"),
  ("genlat/nets/conv.py", "def f():\n  import genlat", "nets may not"),
  ("genlat/losses/elbo.py", "from genlat import train", "losses may not"),
  ("genlat/scans.py", "from genlat import sharding", "scans may not"),
  ("main.py", "from genlat.nets import conv", "main may not"),
  ("configs/base.py", "from genlat import train", "configs may not"),
  ("experiments/table.py", "from genlat import nets", "experiments may not"),
  ("genlat/utils.py", "", "no row in LAYERS"),
  ("genlat/methods/vae.py", "from genlat.methods.glf import Glf", "one method"),
  ("genlat/methods/vae.py", "from .glf import Glf", "one method"),
  ("genlat/nets/loop.py", "from genlat.nets import loop", "in a circle"),
  ("genlat/train.py", "import jax\n@jax.jit\ndef f(): ...", "jax.jit"),
  ("genlat/train.py", "from jax import jit as j", "jax.jit"),
  ("genlat/sharding.py", "import jax as j\nf = j.pmap(len)", "jax.pmap"),
  ("genlat/nets/conv.py", "from flax import linen as nn\nnn.jit", "linen.jit"),
  ("genlat/train.py", "import orbax.checkpoint", "orbax may not"),
  ("genlat/train.py", "def f():\n  import tensorflow as tf", "tensorflow may"),
  ("genlat/train.py", "from torch import nn", "torch may not"),
  ("genlat/train.py", "import pickle\npickle.load(f)", "pickle.load may"),
  ("genlat/train.py", "np.load(f, allow_pickle=True)", "allow_pickle"),
]


def _write(root: pathlib.Path, files: dict[str, str]) -> None:
  for name, text in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_sound_tree_is_let_through(tmp_path):
  allowed = "import tensorflow_datasets as tfds\nimport pickletools\n"
  _write(tmp_path, SOUND | {"genlat/weights.py": allowed})
  assert broken_rules(tmp_path) == []


@pytest.mark.parametrize(("name", "text", "message"), BREACHES)
def test_each_breach_is_found(tmp_path, name, text, message):
  _write(tmp_path, SOUND)
  _write(tmp_path, {name: SOUND.get(name, "") + text + "\n"})
  found = broken_rules(tmp_path)
  assert len(found) == 1 and message in found[0], found


def test_a_notebook_is_read_too(tmp_path):
  cell = {"cell_type": "code", "source": ["%cd x\n", "import genlat.nets\n"]}
  notebook = json.dumps({"cells": [cell]})
  _write(tmp_path, SOUND | {"colabs/a.ipynb": notebook})
  assert broken_rules(tmp_path) == [
    "colabs/a.ipynb:1: colabs may not import genlat.nets"
  ]
