"""Every shipped configuration is traced; at smoke size one a method runs."""

import importlib
import pathlib

import jax
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from genlat import methods, train
from tests import shipped

# What says how large a model is, how fast it learns, on what and whereto.
ASIDE = (
  *("log", "evaluation", "checkpoint", "prior", "batch_size", "epochs", "data"),
  *("model.channels", "model.latent", "model.hidden"),
  *("introvae.margin", "introvae.beta", "introspection.pretrain"),
  *("introvae.alpha_encoder", "introvae.alpha_decoder"),
  *("soft_introvae.beta_reconstruction", "soft_introvae.beta_fake"),
  *("soft_introvae.beta_kl", "optimizer.lr", "optimizer.schedule"),
  *("optimizer.decay_every", "optimizer.b1", "optimizer.warmup"),
  *("aae.image_channels", "aae.trunk", "aae.code_hidden", "aae.noise"),
)
TRACED: set[str] = set()


def structure(config: ConfigDict) -> str:
  """What configurations share that differ in numbers alone."""
  flat = traverse_util.flatten_dict(config.to_dict(), sep=".")
  within = tuple(f"{name}." for name in ASIDE)
  kept = {
    k: v for k, v in flat.items() if k not in ASIDE and not k.startswith(within)
  }
  warm = config.introspection.pretrain > 0
  return repr((sorted(kept.items()), config.data.binarise, warm))


def traced(config: ConfigDict, rows: int = 8) -> None:
  """Builds a configuration and traces its networks, running nothing.

  And a step, the first time that one of its structure comes.
  """
  method = shipped.build(config)
  key = jax.random.key(0)
  batch = jax.eval_shape(lambda: shipped.batch(config, rows))
  state = jax.eval_shape(method.init, key, batch)
  if structure(config) in TRACED:
    codes = jax.eval_shape(method.encode, state, batch["image"])
    copies = jax.eval_shape(method.decode, state, codes)
    assert copies.shape == batch["image"].shape
    return
  after, metrics = jax.eval_shape(method.train_step, state, batch, key)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert metrics["loss"].shape == ()
  TRACED.add(structure(config))


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
  """All but the richest game, which has a test of its own."""
  return [shipped.of_method(m) for m in sorted(methods.METHODS) if m != "aae"]


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


@pytest.mark.parametrize("name", ["lp_aae_supervised_mnist"])
def test_a_game_goes_on_from_its_checkpoint(name, tmp_path, request):
  trains(name, tmp_path, request, 2, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped.NAMES)
def test_every_configuration_trains_and_resumes(name, tmp_path, request):
  trains(name, tmp_path, request, 2, 4)
