"""Laws of the loop: several steps a call, the end of a run, failures."""

import json
import pathlib

import jax
import numpy as np
import pytest

import genlat
from genlat import grids, pictures, recorder, scans, train
from genlat import run as runs
from genlat.watchdog import Watchdog
from tests import shipped
from tests.moves import differ

QUIET = {"log__tensorboard": False, "log__pictures": 0, "log__every": 1}


@pytest.fixture
def rolled(monkeypatch):
  """A platform on which every loop is rolled."""
  monkeypatch.setattr(scans, "rolled", lambda convolutional: True)


def run(workdir: pathlib.Path, name: str = "glf_digits", **changes) -> None:
  config = shipped.config(name, "smoke", **QUIET | changes)
  train.train(config.lock(), workdir)


def log(workdir: pathlib.Path) -> dict[int, dict[str, float]]:
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return {line["step"]: line for line in map(json.loads, lines)}


def test_several_steps_a_call_are_the_same_run(tmp_path, rolled):
  """Seven steps in calls of three: two calls and a single step."""
  sgd = {"optimizer__name": "sgd", "optimizer__lr": 1e-4}
  same = {"steps": 7, "checkpoint__every": 7, **sgd}
  run(tmp_path / "one", **same)
  run(tmp_path / "three", steps_per_call=3, **same)
  one, three = log(tmp_path / "one"), log(tmp_path / "three")
  assert list(three) == [3, 6, 7]
  for step in three:
    assert three[step]["loss"] == pytest.approx(one[step]["loss"], rel=1e-4)
  a, b = (genlat.load(tmp_path / n).state for n in ("one", "three"))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5),
    a.params,
    b.params,
  )


def test_the_seed_moves_weights_and_batches(tmp_path):
  """glf.md 1.6: the official code's seeds are fixed."""
  made = [
    runs.prepare(
      shipped.config(
        "glf_digits", "smoke", seed=seed, data__feeder="streaming"
      ),
      tmp_path,
    )
    for seed in (0, 0, 7)
  ]
  weights = [runs.initial_state(run).params for run in made]
  rows = [run.feeder.feed(0, 1) for run in made]
  for one, again, other in (weights, rows):
    assert not differ(one, again)
    assert differ(one, other)


def test_the_first_step_that_fails_is_named_within_a_call(tmp_path, rolled):
  bad = {"optimizer__name": "sgd", "optimizer__lr": 1e30}
  steps = []
  for i, calls in enumerate((1, 4)):
    with pytest.raises(recorder.NonFinite):
      run(tmp_path / str(i), steps=8, steps_per_call=calls, **bad)
    facts = (tmp_path / str(i) / "failure" / "failure.json").read_text()
    steps.append(json.loads(facts)["step"])
  assert steps[0] == steps[1] < 4


@pytest.fixture
def told(monkeypatch):
  """What the loop tells the watchdog, and what takes long beside steps."""
  told: list[str] = []

  class Dog(Watchdog):
    def beat(self):
      told.append("beat")

    def rest(self):
      told.append("rest")

  def noted(name, function):
    def call(*args, **kwargs):
      told.append(name)
      return function(*args, **kwargs)

    return call

  monkeypatch.setattr(train, "Watchdog", Dog)
  for name in ("validate", "save"):
    monkeypatch.setattr(train, name, noted(name, getattr(train, name)))
  drawn = noted("draw", pictures.Pictures.draw)
  monkeypatch.setattr(pictures.Pictures, "draw", drawn)
  return told


LONG = ("validate", "save", "draw")


def rests(told: list[str]) -> str:
  """First letters of what takes long; each must find the watchdog at rest."""
  long = [i for i, word in enumerate(told) if word in LONG]
  for i in long:
    last = [word for word in told[:i] if word in ("beat", "rest")][-1]
    assert last == "rest"
  return "".join(told[i][0] for i in long)


def test_the_watchdog_rests_in_all_but_steps(tmp_path, told):
  changes = {"steps": 12, "log__pictures": 5, "checkpoint__every": 6}
  run(tmp_path / "a", **changes, data__validation=0.2, log__validate=4)
  # After steps 4, 5, 6, 8, 10 and, at the end, 12.
  assert rests(told) == "vdsvvdsvd"
  assert told[told.index("validate") + 1] == "beat"
  assert told.count("beat") >= 5
  told.clear()
  run(tmp_path / "b", **changes)
  assert rests(told) == "dsdsd"


def test_curves_are_drawn_with_the_pictures_of_a_run(tmp_path, monkeypatch):
  seen, curves = [], grids.curves

  def noted(log, png, *panels):
    seen.append(len(log.read_text().splitlines()))
    curves(log, png, *panels)

  monkeypatch.setattr(grids, "curves", noted)
  run(tmp_path, steps=12, log__pictures=5, log__every=6)
  # At 5 there is no line yet, and no curve; at 12 both lines are drawn.
  assert seen == [0, 1, 2]
  assert (tmp_path / "images" / "curves.png").exists()


def test_the_watchdog_rests_where_a_step_is_compiled(tmp_path, told, rolled):
  run(tmp_path, steps=7, steps_per_call=3, checkpoint__every=100)
  # Calls of 3, 3 and 1: the last is of another kind, so it is compiled.
  end = told.index("save")
  assert told[0] == "rest" and "rest" in told[told.index("beat") : end - 1]


def test_on_a_cpu_a_convolutional_run_falls_to_one_step_a_call(
  tmp_path, capsys
):
  scans.use_platform("cpu")
  run(tmp_path, steps=3, steps_per_call=2)
  assert list(log(tmp_path)) == [1, 2, 3]
  assert "steps_per_call 2 -> 1" in capsys.readouterr().err


def test_a_prior_is_fitted_at_the_end_once_and_serves_samples(tmp_path, capsys):
  run(tmp_path, "ae_mnist", steps=2)
  assert "fits the mixture prior" in capsys.readouterr().err
  model = genlat.load(tmp_path)
  assert model.prior is not None and model.prior.name == "mixture"
  assert (tmp_path / "images" / "samples_2.png").exists()
  run(tmp_path, "ae_mnist", steps=2)
  assert "fits the mixture prior" not in capsys.readouterr().err


def test_a_run_split_over_devices_loads_on_fewer(tmp_path):
  run(tmp_path, steps=2, mesh__fsdp=4)
  described = tmp_path / "run.json"
  text = described.read_text()
  # As if the run had come from a machine with eight devices.
  described.write_text(text.replace('"fsdp": 4', '"fsdp": 8'))
  assert genlat.load(tmp_path).sample(2).shape == (2, 16, 16, 1)


def test_an_autoencoder_of_mnists_size_overfits_64_images():
  config = shipped.config(
    "ae_mnist", model__channels=(16, 32), model__hidden=128
  )
  method = shipped.build(config)
  state = shipped.start(method, config)
  source = np.random.default_rng(0).random((64, 7, 7, 1))
  images = source.repeat(4, 1).repeat(4, 2).astype(np.float32)
  step = jax.jit(method.train_step)
  losses = []
  for i in range(120):
    state, metrics = step(state, {"image": images}, jax.random.key(i))
    losses.append(float(metrics["loss"]))
  assert losses[-1] < 0.1 * losses[0]
