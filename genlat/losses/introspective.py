"""Losses of encoders that tell real images from made ones by their own KL.

IntroVAE: Huang, Li, He, Sun, Tan 2018 (arXiv:1807.06358). The energy of an
image is KL(q(z|x) || N(0, I)); the encoder pushes the energy of made images up
to a margin m, the decoder pulls it down. Soft-IntroVAE: Daniel, Tamar 2021
(arXiv:2012.13253) replaces the margin by the exponential of the ELBO. AGE:
Ulyanov, Vedaldi, Lempitsky 2018 (arXiv:1704.02304) takes the KL of a batch.

Departure: equation 9 of IntroVAE is printed with the sign of -KL; equations
11 and 12 make sense with +KL alone, and that is what stands here.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

Mean = jax.Array  # [B], or [] where the losses are of the batch's mean


def margin_hinge(energy: jax.Array, margin: float) -> jax.Array:
  """[m - E]^+ of each image, `[B]` (IntroVAE, equations 5 and 11).

  Args:
    energy: KL of each image, `[B]`, nats.
    margin: m, nats.
  """
  chex.assert_rank(energy, 1)
  return jax.nn.relu(margin - energy)


def margin_hinge_of_mean(energy: jax.Array, margin: float) -> jax.Array:
  """[m - mean E]^+, `[]`: the hinge of the official code.

  It is the smaller of the two: below the mean of `margin_hinge` unless all
  images lie on one side of the margin.

  Args:
    energy: KL of each image, `[B]`, or of the batch, `[]`; nats.
    margin: m, nats.
  """
  return jax.nn.relu(margin - energy.mean())


def encoder_loss(
  energy: Mean,
  hinges: Sequence[Mean],
  reconstruction: Mean,
  *,
  alpha: float | jax.Array,
  beta: float | jax.Array,
) -> Mean:
  """Equation 11: E(x) + alpha sum_s [m - E(x_s)]^+ + beta L_AE.

  Args:
    energy: KL of real images.
    hinges: of reconstructions and of samples; their images are constants.
    reconstruction: of real images; half the squared error in the paper
      (equation 10), all of it in the official code.
    alpha: weight of each hinge.
    beta: weight of the reconstruction.

  Returns:
    Like the inputs, which are all `[B]` or broadcast to it.
  """
  _check_alike(energy, *hinges, reconstruction)
  return energy + alpha * sum(hinges) + beta * reconstruction


def decoder_loss(
  energies: Sequence[Mean],
  reconstruction: Mean,
  *,
  alpha: float | jax.Array,
  beta: float | jax.Array,
) -> Mean:
  """Equation 12: alpha sum_s E(x_s) + beta L_AE.

  Args:
    energies: KL of reconstructions and of samples, through the encoder.
    reconstruction: as for `encoder_loss`.
    alpha: weight of each energy.
    beta: weight of the reconstruction.

  Returns:
    Like the inputs, which are all `[B]` or broadcast to it.
  """
  _check_alike(*energies, reconstruction)
  return alpha * sum(energies) + beta * reconstruction


def _check_alike(*values: Mean) -> None:
  """Raises AssertionError unless all are `[]` or of one `[B]`."""
  shapes = {jnp.shape(value) for value in values} - {()}
  if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
    raise AssertionError(f"losses of one batch have shapes {shapes}")


def batch_statistics_kl(codes: jax.Array) -> jax.Array:
  """AGE's divergence of a batch of codes from N(0, I), `[]`, nats.

  KL of the Gaussian with each dimension's mean m and standard deviation s
  over the batch: sum of (s^2 + m^2) / 2 - log s - 1/2 (AGE, section 3.2).

  Args:
    codes: `[B, d]`, B at least 2.
  """
  chex.assert_rank(codes, 2)
  # One draw a dimension has no spread: the floor keeps the log finite.
  variance = jnp.maximum(codes.var(0), 1e-12)
  mean = codes.mean(0)
  kl = 0.5 * (variance + jnp.square(mean) - jnp.log(variance) - 1.0)
  return kl.sum()


def exponential_elbo(elbo: jax.Array, sharpness: float) -> jax.Array:
  """exp(a ELBO) / a of made images, `[B]` (Soft-IntroVAE, equation 5).

  Args:
    elbo: of each image, `[B]`; an energy of at most 0 in practice.
    sharpness: a.
  """
  chex.assert_rank(elbo, 1)
  return jnp.exp(sharpness * elbo) / sharpness


def scaled_elbo(
  reconstruction: jax.Array,
  kl: jax.Array,
  *,
  scale: float,
  beta_reconstruction: float,
  beta_kl: float,
) -> jax.Array:
  """-s (b_r R + b_k KL), `[B]`: the ELBO that Soft-IntroVAE's code uses.

  Args:
    reconstruction: R, summed over pixels, `[B]`.
    kl: `[B]`, nats.
    scale: s; 1 / (H W C) in the official code, so that exponentials live.
    beta_reconstruction: b_r.
    beta_kl: b_k for real images, b_n for made ones.
  """
  chex.assert_rank([reconstruction, kl], 1)
  chex.assert_equal_shape([reconstruction, kl])
  return -scale * (beta_reconstruction * reconstruction + beta_kl * kl)
