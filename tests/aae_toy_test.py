"""The learned prior learns: a ring of 8 Gaussians (aae.md 10, test 9).

And codes learn a prior that is fixed. With pixels in place of features,
networks without normalisation, and copies that need not fool.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict
from sklearn.cluster import KMeans

from configs import adversarial
from genlat.methods import aae_config
from genlat.methods.aae import Aae
from genlat.nets.discriminators import Judgement
from tests import shipped

MODES, RADIUS, SPREAD = 8, 0.7, 0.02


class Mlp(nn.Module):
  """Two hidden layers; the decoder's output is an image of 1 x 1 x 2."""

  image: bool

  @nn.compact
  def __call__(self, x, given=None, *, train):
    """Any input to two numbers."""
    del given, train
    x = x.reshape(x.shape[0], -1)
    for _ in range(2):
      x = nn.relu(nn.Dense(64)(x))
    x = nn.Dense(2)(x)
    return x.reshape(-1, 1, 1, 2) if self.image else x


class Critic(nn.Module):
  """Two hidden layers to a logit, or to a judgement of images."""

  image: bool

  @nn.compact
  def __call__(self, x, given=None, *, train):
    """Any input to a logit."""
    del given, train
    x = x.reshape(x.shape[0], -1)
    for _ in range(2):
      x = nn.leaky_relu(nn.Dense(64)(x), 0.2)
    logits = nn.Dense(1)(x)[:, 0]
    return Judgement(logits, x, x) if self.image else logits


def game(letters: str = "ac", prior: str = "gaussian") -> Aae:
  config = shipped.config("lp_aae_mnist", "smoke")
  config.model.latent, config.optimizer.lr = 2, 1e-3
  adversarial.switches(config, letters)
  config.players = ConfigDict()
  config.aae.fools_by_copies, config.aae.prior = False, prior
  # Two numbers in place of features: the weights of those are too much.
  config.aae.reconstruction = config.aae.encoder_reconstruction = 1.0
  made = aae_config.make(config, (8, 8, 1))
  rules = dataclasses.replace(made["game"], image_shape=(1, 1, 2), trunk=64)
  nets = {
    "encoder": Mlp(image=False),
    "decoder": Mlp(image=True),
    "code_discriminator": Critic(image=False),
    "code_generator": Mlp(image=False),
    "image_discriminator": Critic(image=True),
  }
  nets = {name: net for name, net in nets.items() if name in made["nets"]}
  return Aae(nets=nets, players=made["players"], game=rules, ema=0.99)


def ring(key: jax.Array, n: int) -> jax.Array:
  """Images `[n, 1, 1, 2]` of [0, 1]."""
  on_mode, on_noise = jax.random.split(key)
  angle = jax.random.randint(on_mode, (n,), 0, MODES) * (2 * jnp.pi / MODES)
  points = RADIUS * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
  points += SPREAD * jax.random.normal(on_noise, (n, 2))
  return (0.5 * points + 0.5).reshape(n, 1, 1, 2)


def discrepancy(a: np.ndarray, b: np.ndarray, width: float) -> float:
  """Squared maximum mean discrepancy under a Gaussian kernel."""
  z, n = np.concatenate([a, b]), len(a)
  square = ((z[:, None] - z[None]) ** 2).sum(-1)
  k = np.exp(-square / width**2)
  return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def clustered(points: np.ndarray) -> float:
  """Inertia left by 8 clusters, as a share of that of one."""
  many, one = (
    KMeans(k, n_init=4, random_state=0).fit(points).inertia_ for k in (8, 1)
  )
  return many / one


def learner(made: Aae, data: Callable[..., jax.Array], steps: int):
  """So many steps, compiled."""

  @jax.jit
  def learn(state, key):
    def body(state, key):
      on_data, on_step = jax.random.split(key)
      batch = {"image": data(on_data, 256)}
      return made.train_step(state, batch, on_step)[0], None

    return jax.lax.scan(body, state, jax.random.split(key, steps))[0]

  return learn


def cloud(key: jax.Array, n: int) -> jax.Array:
  """Images `[n, 1, 1, 2]` of one Gaussian."""
  return (0.5 + 0.15 * jax.random.normal(key, (n, 2))).reshape(n, 1, 1, 2)


@pytest.mark.parametrize("prior", ["ring", "swiss_roll"])
def test_codes_take_the_form_of_a_published_prior(prior):
  made = game("", prior)
  state = learner(made, cloud, 4000)(
    made.init(jax.random.key(0), {}), jax.random.key(1)
  )
  codes = np.asarray(made.encode(state, cloud(jax.random.key(9), 500)))
  draws = made.game.draw(jax.random.key(8), 500, jnp.zeros(500, jnp.int32))
  wanted = np.asarray(draws)
  # Nearer than a Gaussian that has the prior's mean and covariance.
  alike = np.random.default_rng(0).multivariate_normal(
    wanted.mean(0), np.cov(wanted.T), 500
  )
  apart = lambda points: discrepancy(wanted, points, 0.5)
  assert apart(codes) < apart(alike) / 2


def test_a_ring_of_gaussians_is_learned():
  made = game()
  learn = learner(made, ring, 2000)

  @jax.jit
  def look(state):
    mean = state.averaged
    noise = jax.random.normal(jax.random.key(8), (500, 2))
    draws = {"noise": noise, "label": jnp.zeros(500, jnp.int32)}
    prior, _ = made.prior_codes(mean, mean.params, draws, "", train=False)
    codes = made.encode(state, ring(jax.random.key(9), 500))
    return prior, codes, made.decode(state, prior).reshape(-1, 2) * 2 - 1

  start = made.init(jax.random.key(0), {})
  end = learn(start, jax.random.key(1))
  before, after = (
    [np.asarray(x) for x in look(state)] for state in (start, end)
  )
  assert discrepancy(*after[:2], 1.0) < discrepancy(*before[:2], 1.0) / 5

  made_points = after[2]
  turns = np.arctan2(made_points[:, 1], made_points[:, 0]) * MODES / (2 * np.pi)
  radius = np.linalg.norm(made_points, axis=1)
  near = (np.abs(turns - np.rint(turns)) < 0.1) & (
    np.abs(radius - RADIUS) < 0.1
  )
  assert near.mean() > 0.6
  assert len(np.unique(np.rint(turns[near]) % MODES)) == MODES

  normal = np.random.default_rng(0).normal(size=(500, 2))
  one = clustered(normal)  # of a Gaussian, .19
  assert clustered(made_points) < 0.25 * one
  # Codes of the prior lie along a few lines, no Gaussian of their covariance;
  # the decoder, which fools D_I too, makes the eight modes of them.
  alike = normal @ np.linalg.cholesky(np.cov(after[0].T)).T
  assert clustered(after[0]) < 0.8 * clustered(alike)
