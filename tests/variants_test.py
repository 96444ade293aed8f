"""Every variant of the autoencoders learns, not only the plain ones."""

import jax
import numpy as np
import pytest

from genlat import weights
from genlat.nets import vgg
from tests import shipped

VARIANTS = {
  "glf_mnist:official": {},
  "glf_regularised_mnist": {},
  "glf_perceptual_mnist": {"data__image_size": 16},
  "vae_mnist": {},
  "vae_binary_mnist": {},
  "vae_flow_prior_mnist": {},
  "vae_flow_posterior_mnist": {},
  "vae_logistic_cifar10": {},
  "iwae_mnist": {},
}


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
  """VGG-16 with random kernels, as a file, and its hash."""
  rng = np.random.default_rng(0)
  arrays = {}
  for n, conv in enumerate(vgg.shapes(3).values()):
    shape = conv["kernel"].shape
    scale = np.sqrt(2.0 / np.prod(shape[:3]))
    kernel = (scale * rng.normal(size=shape)).astype(np.float16)
    arrays[f"VGG16_0/Conv_{n}/kernel"] = kernel
    arrays[f"VGG16_0/Conv_{n}/bias"] = np.zeros(shape[3], np.float32)
  path = tmp_path_factory.mktemp("weights") / "vgg.npz"
  np.savez(path, **arrays)
  return str(path), weights.sha256(path)


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_lower_the_loss_and_move_every_network(name, vgg_file):
  config = shipped.config(
    name.split(":")[0],
    ",".join(["smoke", *name.split(":")[1:]]),
    **VARIANTS[name],
    weights__vgg=vgg_file[0],
    weights__vgg_sha256=vgg_file[1],
    optimizer__schedule="constant",
  )
  method = shipped.build(config)
  first, batch = shipped.start(method, config), shipped.batch(config)
  if config.data.binarise != "none":
    batch["image"] = batch["image"].round()
  step, state, losses = jax.jit(method.train_step), first, []
  frozen = method.frozen()
  state = state.replace(frozen={**state.frozen, **frozen})
  for _ in range(20):
    # The same draws each time, so that the loss may only fall.
    state, metrics = step(state, batch, jax.random.key(0))
    losses.append(float(metrics["loss"]))
  assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.01
  moved = lambda a, b: any(
    np.any(x != y)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )
  for net, before in first.params.items():
    assert moved(before, state.params[net]), net
    averages = first.stats.get(net, {})
    assert not averages or moved(averages, state.stats[net]), net
  if name.endswith(":official"):
    assert jax.tree.leaves(state.stats["flow"])
