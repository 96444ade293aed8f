"""Laws of adversarial and information losses (aae.md 2 and 10)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat.losses import adversarial, implicit, information

ZERO = jnp.zeros(4)


def test_an_undecided_discriminator_loses_one_bit_a_kind():
  real, made = (
    f(ZERO, "non_saturating").mean()
    for f in (adversarial.of_real, adversarial.of_made)
  )
  np.testing.assert_allclose(real + made, 2 * math.log(2), rtol=1e-6)
  np.testing.assert_allclose(real + 2 * made, 3 * math.log(2), rtol=1e-6)


def test_the_optimum_against_two_fakes_is_a_third():
  """At p_real = p_noise = p_rec, D = 1/3 and J_DI = 1.9095."""

  def loss(a):
    real = adversarial.of_real(a, "non_saturating")
    return (real + 2 * adversarial.of_made(a, "non_saturating")).sum()

  best = jnp.full(1, math.log(0.5))  # the logit of 1/3
  np.testing.assert_allclose(jax.grad(loss)(best), [0.0], atol=1e-6)
  np.testing.assert_allclose(loss(best), 1.9095, atol=1e-4)


@pytest.mark.parametrize("kind", adversarial.KINDS)
def test_discriminator_and_generator_pull_apart(kind):
  a = jnp.array([-0.5, 0.2])
  slope = lambda f: jax.grad(lambda a: f(a, kind).sum())(a)
  assert (slope(adversarial.of_real) < 0).all()
  assert (slope(adversarial.of_made) > 0).all() or kind == "least_squares"
  assert (slope(adversarial.of_generator) < 0).all()


def test_the_saturating_loss_is_minus_the_discriminator_s():
  a = jnp.array([-2.0, 0.0, 3.0])
  np.testing.assert_allclose(
    adversarial.of_generator(a, "saturating"),
    -adversarial.of_made(a, "saturating"),
  )


def test_least_squares_has_its_targets():
  a = jnp.array([0.0, 1.0])
  np.testing.assert_allclose(
    adversarial.of_real(a, "least_squares"), [0.5, 0.0]
  )
  np.testing.assert_allclose(
    adversarial.of_made(a, "least_squares"), [0.0, 0.5]
  )


def test_the_hinge_rests_beyond_its_margin():
  a = jnp.array([-2.0, -0.5, 0.5, 2.0])
  real, made = (
    f(a, "hinge") for f in (adversarial.of_real, adversarial.of_made)
  )
  np.testing.assert_allclose(real, [3.0, 1.5, 0.5, 0.0])
  np.testing.assert_allclose(made, [0.0, 0.5, 1.5, 3.0])


@pytest.mark.parametrize("norm", [0.0, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_its_norm_s(norm):
  real, made = jax.random.normal(jax.random.key(0), (2, 5, 2, 3))
  slope = jnp.full((2, 3), norm / math.sqrt(6.0))
  value = adversarial.gradient_penalty(
    lambda x: (x * slope[None]).sum((1, 2)), real, made, jnp.full(5, 0.3)
  )
  np.testing.assert_allclose(value, [(norm - 1.0) ** 2] * 5, atol=1e-5)


def test_the_penalty_is_taken_between_the_images():
  real, made = jnp.ones((1, 1)), jnp.zeros((1, 1))
  square = lambda x: jnp.square(x).sum(1)
  for mix, wanted in ((1.0, 1.0), (0.0, 1.0), (0.5, 0.0)):
    value = adversarial.gradient_penalty(square, real, made, jnp.full(1, mix))
    np.testing.assert_allclose(value, [wanted], atol=1e-5)


def test_the_penalty_of_real_examples_is_half_their_squared_slope():
  real = jax.random.normal(jax.random.key(0), (5, 2, 3))
  value = adversarial.real_penalty(lambda x: (x**3).sum((1, 2)), real)
  wanted = [0.5 * (9 * np.asarray(x) ** 4).sum() for x in real]
  np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_an_unknown_kind_names_the_known():
  for loss in (
    adversarial.of_real,
    adversarial.of_made,
    adversarial.of_generator,
  ):
    with pytest.raises(ValueError, match="'wgan'; known: hinge"):
      loss(ZERO, "wgan")


def test_information_of_uniform_and_of_perfect_guesses():
  labels = jnp.arange(10)
  entropy = information.uniform_entropy(10)
  np.testing.assert_allclose(entropy, 2.302585, rtol=1e-6)
  uniform = information.categorical(jnp.zeros((10, 10)), labels).mean()
  np.testing.assert_allclose(uniform, entropy, rtol=1e-6)
  np.testing.assert_allclose(
    information.bound(uniform, entropy), 0.0, atol=1e-6
  )
  perfect = information.categorical(1e3 * jnp.eye(10), labels).mean()
  np.testing.assert_allclose(
    information.bound(perfect, entropy), entropy, rtol=1e-6
  )


def test_entropy_of_labels_is_short_by_what_few_of_them_hide():
  np.testing.assert_allclose(
    information.label_entropy(jnp.array([0, 0, 1, 3]), 4), 1.5 * np.log(2.0)
  )
  share = np.array([0.5, 0.3, 0.2])
  whole = -(share * np.log(share)).sum()
  draws = jax.random.choice(
    jax.random.key(0), 3, (4000, 64), p=jnp.array(share)
  )
  entropy = jax.vmap(lambda s: information.label_entropy(s, 3))(draws)
  np.testing.assert_allclose(whole - entropy.mean(), 2 / 128, rtol=0.15)


def test_continuous_information_of_a_known_code_is_its_entropy_s():
  """Q = N(0, I) knows nothing of s ~ N(0, I): the bound is 0."""
  s = jax.random.normal(jax.random.key(0), (20000, 3))
  nats = information.continuous(jnp.zeros_like(s), jnp.zeros(()), s).mean()
  entropy = information.normal_entropy(3)
  np.testing.assert_allclose(information.bound(nats, entropy), 0.0, atol=0.03)


@pytest.mark.parametrize("noise", [0.1, 1.0, 4.0])
def test_the_posterior_of_a_gaussian_channel_meets_its_information(noise):
  """X = s + e, e ~ N(0, v): I = d/2 ln(1 + 1/v); any other Q has less."""
  d, n = 3, 20000
  s, e = jax.random.normal(jax.random.key(0), (2, n, d))
  x = s + noise**0.5 * e
  entropy = information.normal_entropy(d)
  mean, log_variance = x / (1 + noise), jnp.log(noise / (1 + noise))

  def bound(mean, log_variance):
    log_variance = jnp.broadcast_to(log_variance, s.shape)
    nats = information.continuous(mean, log_variance, s).mean()
    return float(information.bound(nats, entropy))

  wanted = 0.5 * d * np.log1p(1 / noise)
  np.testing.assert_allclose(bound(mean, log_variance), wanted, atol=0.04)
  assert bound(1.3 * mean, log_variance) < bound(mean, log_variance)
  assert bound(mean, log_variance + 0.5) < bound(mean, log_variance)
  assert bound(mean, log_variance - 0.5) < bound(mean, log_variance)


def test_labels_of_another_length_are_refused():
  with pytest.raises(AssertionError):
    information.categorical(jnp.zeros((3, 4)), jnp.zeros(2, jnp.int32))


def test_a_datum_is_as_far_as_its_own_nearest_draw():
  rng = np.random.default_rng(0)
  data, draws = rng.normal(size=(5, 3)), rng.normal(size=(5, 4, 3))
  wanted = [
    min(((d - x) ** 2).mean() for d in own)
    for x, own in zip(data, draws, strict=True)
  ]
  data, draws = jnp.asarray(data), jnp.asarray(draws)
  np.testing.assert_allclose(implicit.nearest(data, draws), wanted, rtol=1e-5)
  slope = jax.grad(lambda z: implicit.nearest(data, z).sum())(draws)
  moved = (np.asarray(slope) != 0).all(-1)
  assert (moved.sum(1) == 1).all()
  np.testing.assert_array_equal(
    moved.argmax(1), np.square(draws - data[:, None]).sum(-1).argmin(1)
  )


def test_draws_without_a_mode_are_drawn_to_it():
  """Where all draws are one point, each datum pulls; the mean is no rest."""
  data = jnp.asarray(np.repeat([[-1.0], [1.0]], 16, 0))
  noise = jax.random.normal(jax.random.key(0), (32, 8, 1))

  def left_out(p):
    return implicit.nearest(data, jnp.tanh(p[0] * noise) + p[1]).mean()

  step = jax.jit(lambda p: p - 0.3 * jax.grad(left_out)(p))
  p = jnp.asarray([0.01, 0.0])
  before = float(left_out(p))
  for _ in range(300):
    p = step(p)
  assert before > 0.9 and float(left_out(p)) < 0.05


@pytest.mark.parametrize("d,best", [(1, 1.0), (10, 0.5), (100, 0.0)])
def test_few_draws_are_near_what_differs_in_few_directions(d, best):
  """What the docstring says of N(0, s^2 I)."""
  data, draws = (
    jax.random.normal(jax.random.key(i), shape)
    for i, shape in enumerate([(2000, d), (2000, 16, d)])
  )
  cost = {s: implicit.nearest(data, s * draws).mean() for s in (0.0, 0.5, 1.0)}
  assert min(cost, key=lambda s: cost[s]) == best
