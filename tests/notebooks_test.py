"""Notebooks import genlat, define no models, and are stored without outputs."""

import ast
import json
import pathlib

import pytest

NOTEBOOKS = sorted(
  (pathlib.Path(__file__).parent.parent / "colabs").glob("*.ipynb")
)


def faults(text: str) -> list[str]:
  """What is wrong with a notebook, one line each."""
  notebook, found = json.loads(text), []
  if notebook["nbformat"] != 4:
    found.append(f"nbformat is {notebook['nbformat']}, not 4")
  names = set()
  for i, cell in enumerate(notebook["cells"]):
    if cell["cell_type"] != "code":
      continue
    if cell["outputs"] or cell["execution_count"] is not None:
      found.append(f"cell {i} holds outputs")
    for node in ast.walk(ast.parse("".join(cell["source"]))):
      if isinstance(node, ast.ClassDef):
        found.append(f"cell {i} defines {node.name}")
      if isinstance(node, ast.Import):
        names |= {alias.name for alias in node.names}
  return found if "genlat" in names else [*found, "genlat is not imported"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_clean(path):
  assert faults(path.read_text()) == []


def test_faults_are_found():
  cell = {
    "cell_type": "code",
    "execution_count": 1,
    "outputs": [],
    "source": ["class Net: ..."],
  }
  text = json.dumps({"nbformat": 4, "cells": [cell]})
  assert faults(text) == [
    "cell 0 holds outputs",
    "cell 0 defines Net",
    "genlat is not imported",
  ]
