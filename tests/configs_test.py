"""Every shipped configuration is traced; at smoke size one a method runs."""

import importlib
import pathlib

import jax
import pytest
from ml_collections import ConfigDict

from genlat import methods, train
from tests import shipped

# What says how long, on what and whereto a model is trained.
ASIDE = ("log", "evaluation", "checkpoint", "prior", "batch_size", "epochs")
TRACED: set[str] = set()


def traced(config: ConfigDict, rows: int = 8) -> None:
  """Builds a configuration and traces one step of it, running nothing."""
  method = shipped.build(config)
  model = config.copy_and_resolve_references().unlock()
  model.data = {"binarise": config.data.binarise}
  for name in ASIDE:
    del model[name]
  program = model.to_json_best_effort(sort_keys=True)
  program += str(shipped.image_shape(config))
  if program in TRACED:  # of another data set, say
    return
  key = jax.random.key(0)
  batch = jax.eval_shape(lambda: shipped.batch(config, rows))
  state = jax.eval_shape(method.init, key, batch)
  after, metrics = jax.eval_shape(method.train_step, state, batch, key)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert metrics["loss"].shape == ()
  TRACED.add(program)


def weights(config: ConfigDict, request) -> ConfigDict:
  """Names the weight file that a perceptual loss needs, or skips."""
  if config.likelihood.name == "perceptual":
    data: pathlib.Path = request.getfixturevalue("real_data")
    config.weights.vgg = str(data / "weights" / "vgg16_lpips_fp16.npz")
  return config


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_shipped_configuration_traces_a_step(name, request):
  traced(weights(shipped.config(name), request))


@pytest.mark.parametrize(
  "name",
  [
    n
    for n in shipped.NAMES
    if n != "glf_digits" and shipped.config(n).method == "glf"
  ],
)
def test_presets_combine(name, request):
  module = importlib.import_module(f"configs.{name}")
  config = module.get_config("official,smoke")
  assert config.flow.batch_norm and config.model.hidden == 32
  traced(weights(shipped.config(name, "official,smoke"), request))


@pytest.mark.parametrize("name", shipped.NAMES)
def test_a_configuration_is_locked_and_says_what_it_is(name):
  module = importlib.import_module(f"configs.{name}")
  assert module.get_config().is_locked
  assert len(module.__doc__.strip().splitlines()) > 1


def test_an_unknown_preset_names_the_known():
  with pytest.raises(ValueError, match="'tiny'; known: official, smoke"):
    importlib.import_module("configs.glf_mnist").get_config("tiny")


def one_a_method() -> list[str]:
  """The games among them have a test of their own."""
  games = {"aae", "introvae"}
  return [
    shipped.of_method(name) for name in sorted({*methods.METHODS} - games)
  ]


def trains(name: str, workdir: pathlib.Path, request, *ends: int) -> None:
  """A run to each of these steps, all but the first from a checkpoint."""
  config = weights(shipped.config(name, "smoke"), request)
  config.log.tensorboard = False
  for steps in ends:
    config.steps = steps
    train.train(config.copy_and_resolve_references().lock(), workdir)
  assert (workdir / "checkpoints" / str(ends[-1])).exists()
  classifies = config.method == "glimpse_classifier"
  drawn = "film" if classifies else "reconstructions"
  assert (workdir / "images" / f"{drawn}_{ends[-1]}.png").exists()


# That the state of each goes on with the same bits is a law of contract_test.
@pytest.mark.parametrize("name", one_a_method())
def test_one_configuration_a_method_trains(name, tmp_path, request):
  trains(name, tmp_path, request, 2)


@pytest.mark.parametrize("name", ["lp_aae_supervised_mnist", "introvae_mnist"])
def test_a_game_goes_on_from_its_checkpoint(name, tmp_path, request):
  trains(name, tmp_path, request, 2, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped.NAMES)
def test_every_configuration_trains_and_resumes(name, tmp_path, request):
  trains(name, tmp_path, request, 2, 4)
