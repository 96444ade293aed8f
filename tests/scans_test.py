"""Laws of loops and branches: the platform changes no value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genlat import scans


@pytest.fixture
def platform():
  """Tells scans a platform, and takes it back."""
  yield scans.use_platform
  scans.use_platform("")


@pytest.mark.parametrize("name", ["", "cpu", "gpu"])
def test_a_branch_is_taken_by_a_traced_flag(name, platform):
  platform(name)

  def choose(flag, x):
    return scans.cond(
      flag,
      lambda x: {"y": x + 1.0},
      lambda x: {"y": x * 0.0 - 1.0},
      x,
      convolutional=True,
    )

  x = jnp.arange(3.0)
  for flag, wanted in ((True, x + 1.0), (False, -jnp.ones(3))):
    got = jax.jit(choose)(jnp.bool_(flag), x)["y"]
    np.testing.assert_array_equal(got, wanted)


def test_a_convolution_is_in_no_conditional_on_cpu(platform):
  def text():
    f = lambda flag, x: scans.cond(
      flag, jnp.sin, jnp.cos, x, convolutional=True
    )
    return jax.jit(f).lower(jnp.bool_(True), jnp.zeros(3)).as_text()

  for name, inside in (("cpu", False), ("gpu", True)):
    platform(name)
    assert ("stablehlo.case" in text()) == inside


def test_a_convolution_is_in_no_loop_on_cpu(platform):
  def text(convolutional):
    f = lambda a, xs: scans.scan(
      lambda a, x: (jnp.sin(a) + x, None), a, xs, convolutional=convolutional
    )
    return jax.jit(f).lower(jnp.zeros(()), jnp.zeros(3)).as_text()

  for name, inside in (("", False), ("cpu", False), ("gpu", True)):
    platform(name)
    assert ("stablehlo.while" in text(True)) == inside
    assert "stablehlo.while" in text(False)
