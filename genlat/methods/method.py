"""The contract that every method keeps, as types.

A method is a frozen dataclass of hyper-parameters, networks and players; it
holds no arrays. What is trained lives in `State`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax

from genlat.state import Metrics, Player, State

Batch = Mapping[str, jax.Array]
Latent = Any  # a pytree of arrays [B, ...]
Images = jax.Array  # float32 [B, H, W, C] in [0, 1]


class Method(Protocol):
  """What the loop, evaluation and sampling ask of a method.

  A batch holds `image`, float32 `[B, H, W, C]` in [0, 1], `index`, int32
  `[B]`, and, where the source has them, `label`, `attribute` and `text`, the
  vectors of k captions, `[B, k, t]`.

  Attributes:
    generative: whether it has a prior of its own to sample from.
  """

  generative: ClassVar[bool]

  @property
  def players(self) -> Mapping[str, Player]:
    """The turns of a train step, by name."""
    ...

  def frozen(self) -> dict[str, Any]:
    """Weights that no player moves, read from files; `{}` without any.

    A new state has room for them only: the loop fills it, and from then on
    they travel with the state.
    """
    ...

  def init(self, rng: jax.Array, batch: Batch) -> State:
    """The state at step 0; reads shapes of `batch` only."""
    ...

  def train_step(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> tuple[State, Metrics]:
    """One step of every player; pure, with scalar metrics."""
    ...

  def eval_step(self, state: State, batch: Batch, rng: jax.Array) -> Metrics:
    """Metrics of each example, `[B]`, with averaged weights."""
    ...

  def encode(
    self, state: State, images: Images, rng: jax.Array | None = None
  ) -> Latent:
    """Codes of images: the posterior mean, or a draw where `rng` is given."""
    ...

  def decode(self, state: State, latent: Latent) -> Images:
    """Images of codes."""
    ...

  def sample(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Images:
    """`n` new images."""
    ...


@runtime_checkable
class Bounded(Protocol):
  """A method with a likelihood: it can weigh draws of its posterior."""

  @property
  def bounded(self) -> bool:
    """Whether the observation model is a density, so that nats are nats."""
    ...

  def log_weights(
    self, state: State, batch: Batch, rng: jax.Array
  ) -> jax.Array:
    """Log p(x, z) - log q(z | x) of one draw z ~ q, `[B]` nats."""
    ...


@runtime_checkable
class Posterior(Protocol):
  """A method whose codes may be Gaussian given an image."""

  @property
  def gaussian(self) -> bool:
    """Whether codes are Gaussian given an image, so that means are known."""
    ...

  @property
  def standard(self) -> bool:
    """Whether the prior is N(0, I), too, so that the KL is closed."""
    ...

  def posterior(
    self, state: State, images: Images
  ) -> tuple[jax.Array, jax.Array]:
    """Mean and log-variance of the code, `[B, d]` each."""
    ...


@runtime_checkable
class Conditional(Protocol):
  """A method whose samples may be asked for by label or by caption."""

  @property
  def classes(self) -> int:
    """Number of labels; 0 for a variant without any."""
    ...

  @property
  def text(self) -> int:
    """Dimensions of a caption's vector; 0 for a variant without captions."""
    ...

  @property
  def labelled(self) -> bool:
    """Whether its labels are those of the data."""
    ...

  def sample_codes(
    self,
    state: State,
    rng: jax.Array,
    n: int,
    condition: jax.Array | None = None,
  ) -> Latent:
    """Codes of `n` samples, as `sample` decodes them."""
    ...


@runtime_checkable
class Assigning(Protocol):
  """A method that says which of its labels an image would be made of."""

  @property
  def assigning(self) -> bool:
    """Whether this variant of it does."""
    ...

  def assign(self, state: State, images: Images) -> jax.Array:
    """Logits of the labels, `[B, K]`."""
    ...


@runtime_checkable
class Classifying(Protocol):
  """A method that names the data's label of an image, and makes no images."""

  @property
  def classes(self) -> int:
    """Number of labels."""
    ...

  def classify(self, state: State, images: Images) -> jax.Array:
    """Logits of the labels, `[B, K]`."""
    ...


@runtime_checkable
class Painting(Protocol):
  """A method that makes an image in steps on a canvas."""

  def film(
    self, state: State, rng: jax.Array, n: int, images: Images | None = None
  ) -> Any:
    """The canvas after each step, and its windows (`nets.draw.Film`).

    Args:
      state: the weights.
      rng: of the draw.
      n: how many.
      images: to be copied, `[n, H, W, C]`; None for samples.
    """
    ...


@runtime_checkable
class Lossy(Protocol):
  """A method whose code has steps, of which the first alone may be kept."""

  @property
  def steps(self) -> int:
    """T, steps of a code."""
    ...

  def priced(
    self, state: State, images: Images, rng: jax.Array
  ) -> tuple[Latent, jax.Array]:
    """Codes drawn from the posterior, and their cost a step, `[B, T]` nats."""
    ...

  def remake(
    self,
    state: State,
    images: Images,
    codes: Latent,
    kept: jax.Array,
    rng: jax.Array | None = None,
  ) -> tuple[Images, jax.Array]:
    """Images remade of their first codes; the prior gives the rest.

    Args:
      state: the weights.
      images: that the codes are of.
      codes: from `priced`.
      kept: `[]`, steps whose codes are kept.
      rng: of the prior's draws; None for its means.

    Returns:
      Mean images, and the reconstruction term of `images` given all codes,
      `[B]`.
    """
    ...


@runtime_checkable
class Watched(Protocol):
  """A method that sees from its metrics when a run goes wrong."""

  def measured(self, metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a step without those that it only has room for."""
    ...

  def health(self, history: Sequence[Mapping[str, float]]) -> list[str]:
    """Lines that say what is wrong and name the key to change.

    Args:
      history: metrics of the last logged steps, oldest first.
    """
    ...


def unconditional(condition: jax.Array | None, method: str) -> None:
  """Raises ValueError where a condition is given to a method without one."""
  if condition is not None:
    raise ValueError(f"{method} takes no condition; got one")
