"""A mixture of full-covariance Gaussians, fitted by EM after training.

The ex-post density of Ghosh et al. 2020 (arXiv:1903.12436): 10 components,
tolerance 1e-3. The fit is scikit-learn's.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genlat import distributions
from genlat.priors.prior import PyTree, check_codes


@dataclasses.dataclass(frozen=True)
class Mixture:
  """sum_k w_k N(mean_k, C_k).

  Attributes:
    components: number of Gaussians.
  """

  components: int

  def fit(self, codes: np.ndarray, seed: int) -> PyTree:
    """`log_weights` `[K]`, `means` `[K, d]`, `choleskys` `[K, d, d]`."""
    from sklearn.mixture import GaussianMixture

    codes = check_codes(codes, self.components)
    mixture = GaussianMixture(
      self.components, tol=1e-3, max_iter=2000, random_state=seed
    )
    mixture.fit(codes)
    fitted = {
      "log_weights": np.log(np.asarray(mixture.weights_)),
      "means": np.asarray(mixture.means_),
      "choleskys": np.linalg.cholesky(np.asarray(mixture.covariances_)),
    }
    return {k: jnp.asarray(v, jnp.float32) for k, v in fitted.items()}

  def sample(self, params: PyTree, rng: jax.Array, n: int) -> jax.Array:
    """Draws `[n, d]`: a component, then its Gaussian."""
    return distributions.mixture_sample(
      rng, n, params["log_weights"], params["means"], params["choleskys"]
    )

  def log_prob(self, params: PyTree, codes: jax.Array) -> jax.Array:
    """Log-density, `[B]` nats."""
    return distributions.mixture_log_prob(
      codes, params["log_weights"], params["means"], params["choleskys"]
    )
