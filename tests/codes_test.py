"""The metric of codes agrees with the likelihood's terms."""

import jax
import numpy as np
import pytest

from genlat import evaluate, sharding
from genlat.metrics.scores import METRICS
from genlat.metrics.task import Unavailable
from genlat.trained import Trained
from tests import shipped

LIMIT = 20
BINARY = {
  "likelihood__name": "bernoulli",
  "likelihood__activation": "sigmoid",
  "data__binarise": "dynamic",
}


def task(folder, **changes):
  """A VAE of the digits whose posteriors are far from the prior."""
  config = shipped.config("vae_mnist", "smoke", **changes)
  config.data.name = "digits"
  config.evaluation.limit, config.evaluation.batch_size = LIMIT, 16
  method = shipped.build(config)
  state = shipped.start(method, config)
  encoder = state.params["encoder"]
  kernel = 2e4 * encoder["head"]["kernel"]
  encoder = encoder | {"head": encoder["head"] | {"kernel": kernel}}
  state = state.replace(params=state.params | {"encoder": encoder})
  mesh = sharding.make_mesh(1, jax.devices()[:1])
  model = Trained(config, method, state, (8, 8, 1), mesh)
  return evaluate.describe(model, folder)


def test_the_kl_of_the_dimensions_adds_up_to_the_bound_s(tmp_path):
  given = task(tmp_path, **BINARY)
  scores, card = METRICS["codes"](given)
  kl = scores["kl_per_dimension_nats"]
  assert len(kl) == scores["dimensions"] and min(kl) > 0.0
  # Of the same binarised images: grey or rounded ones would differ.
  np.testing.assert_allclose(sum(kl), given.means()["kl"], rtol=1e-5)
  assert (card.sample_count, card.sampler) == (LIMIT, "mean codes")
  assert "binarise dynamic" in card.quantisation


def test_a_flow_prior_leaves_active_units_and_a_flow_posterior_nothing(
  tmp_path,
):
  scores, _ = METRICS["codes"](task(tmp_path, vae__prior="flow"))
  assert set(scores) == {"active_units", "dimensions"}
  assert 0 < scores["active_units"] <= scores["dimensions"]
  with pytest.raises(Unavailable, match="no Gaussians given an image"):
    METRICS["codes"](task(tmp_path, vae__posterior="flow"))
