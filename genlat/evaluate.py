"""Runs the metrics of `config.evaluation` over a split, with their cards."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from genlat import checks, data, grids, sharding, trained
from genlat.data import feeder
from genlat.data.images import Preparation
from genlat.data.source import Source
from genlat.generation import Key, to_host, to_uint8
from genlat.methods.method import Bounded, Lossy, Method, Posterior
from genlat.metrics import scores
from genlat.metrics.card import Card, write_score
from genlat.metrics.task import Remade, Task, Unavailable
from genlat.run import say
from genlat.state import State

SHOWN = 8  # images of a batch whose copies are shown
REST = 2**31 - 1  # no batch has this number: the key of the prior's draws


@functools.lru_cache(maxsize=8)
def compile_values(
  key: Key, preparation: Preparation, mesh: Mesh, seed: int
) -> Callable[..., Any]:
  """The sums over a batch of what `method.eval_step` gives of each example.

  Args:
    key: the method.
    preparation: of the images.
    mesh: the devices.
    seed: of draws.

  Returns:
    (state, batch, mask, number of the batch) -> sums by name.
  """
  method: Method = key.method

  def one(state: State, batch: Any, mask: jax.Array, i: jax.Array) -> Any:
    on_data, on_step = _keys(seed, i)
    batch = preparation(batch, on_data, train=False)
    values = method.eval_step(state, batch, on_step)
    # A padded row may hold anything, so it is cut out, not multiplied by 0.
    return {
      k: jax.numpy.where(mask > 0, v, 0.0).sum() for k, v in values.items()
    }

  return sharding.compile(one, mesh, out_shardings=sharding.replicated(mesh))


def means(
  values: Callable[..., Any],
  state: State,
  source: Source,
  mesh: Mesh,
  batch_size: int,
  limit: int = 0,
) -> dict[str, float]:
  """Means over a split of what a method's `eval_step` gives of each example.

  Args:
    values: from `compile_values`.
    state: the weights; averaged ones are used where there are any.
    source: the split.
    mesh: the devices.
    batch_size: images a call; rounded up to the devices.
    limit: examples read; 0 = all.
  """
  size = _rounded(batch_size, source, mesh)
  total: dict[str, float] = {}
  batches = feeder.eval_batches(source, size, mesh, limit=limit)
  for i, (batch, mask) in enumerate(batches):
    for name, value in values(state, batch, mask, np.int32(i)).items():
      total[name] = total.get(name, 0.0) + float(to_host(value))
  count = _counted(source, limit)
  return {name: value / count for name, value in total.items()}


def evaluate(model: trained.Trained, directory: pathlib.Path) -> None:
  """Runs the metrics of `config.evaluation`; stores and prints each.

  Args:
    model: what is scored.
    directory: the work directory; scores go to `scores/STEP/NAME.json`.

  Raises:
    ValueError: for an unknown metric or split.
  """
  settings = model.config.evaluation
  chosen = checks.chosen_metrics(settings)
  folder = directory / "scores" / str(model.step)
  task = describe(model, folder)
  for name in chosen:
    try:
      values, card = scores.METRICS[name](task)
    except Unavailable as reason:
      say(f"{name}: skipped, {reason}")
      continue
    if jax.process_index() == 0:
      write_score(folder / f"{name}.json", name, values, card)
      show(name, values)
  say(f"scores and their protocol cards are in {folder}")


def show(name: str, values: dict[str, Any]) -> None:
  """Prints one metric's values as lines of a table."""
  for key, value in values.items():
    if isinstance(value, list):
      value = " ".join(f"{x:.3g}" for x in value)
    elif isinstance(value, float):
      value = f"{value:.6g}"
    print(f"{name:16s} {key:32s} {value}", flush=True)


def describe(model: trained.Trained, folder: pathlib.Path) -> Task:
  """The task of a model: its split, its callables, its card."""
  config, method = model.config, model.method
  settings = config.evaluation
  reference = data.load(config.data, settings.split)
  bounded = isinstance(method, Bounded) and method.bounded
  gaussian = isinstance(method, Posterior) and method.gaussian
  preparation = Preparation.from_config(config.data)

  def average() -> dict[str, float]:
    key = Key(method, config.data.binarise != "none")
    return means(
      compile_values(key, preparation, model.mesh, settings.seed),
      model.state,
      reference,
      model.mesh,
      settings.batch_size,
      settings.limit,
    )

  def picture(name: str, left: np.ndarray, rows: np.ndarray) -> None:
    table = np.concatenate([left[:, None], rows], 1)
    flat = table.reshape(-1, *table.shape[2:])
    if jax.process_index() == 0:
      grids.save_png(folder / f"{name}.png", grids.grid(flat, table.shape[1]))

  def plot(
    name: str,
    along: str,
    x: Sequence[float],
    values: Mapping[str, Sequence[float]],
  ) -> None:
    if jax.process_index() == 0:
      grids.plot(folder / f"{name}.png", along, x, values)

  train = data.load(config.data, "train")
  return Task(
    config=config,
    reference=reference,
    train=train,
    anew=data.fed(train) is not train,
    sample=functools.partial(model.samples, seed=settings.seed)
    if model.generative
    else None,
    reconstruct=None if model.classifying else model.reconstruct,
    means=functools.cache(average),
    log_weights=functools.partial(log_weights, model, reference)
    if bounded
    else None,
    posteriors=functools.partial(posteriors, model, reference)
    if gaussian
    else None,
    standard=isinstance(method, Posterior) and method.standard,
    prior_nll=functools.partial(prior_nll, model, reference)
    if model.prior
    else None,
    classes=model.classes,
    labelled=model.labelled,
    sample_of=lambda n, labels: model.sample(n, settings.seed, labels),
    assign=model.assign if model.assigning else None,
    classify=model.classify if model.classifying else None,
    remade=functools.partial(remade, model, reference)
    if isinstance(method, Lossy)
    else None,
    card=card(model, reference),
    picture=picture,
    plot=plot,
  )


def card(model: trained.Trained, reference: Source) -> Card:
  """What every score of a model against a source says of how it came about."""
  settings = model.config.evaluation
  return Card(
    network="",
    sha256="",
    resize="",
    quantisation="",
    reference=f"{reference.name} {reference.fingerprint[:16]}",
    split=settings.split,
    reference_count=0,
    sample_count=0,
    ema=bool(model.state.ema),
    normalisation="batch" if settings.batch_statistics else "average",
    sampler="the model's prior" if model.generative else "",
    seed=settings.seed,
    model=_model(model),
  )


def _model(model: trained.Trained) -> str:
  weights = sum(leaf.size for leaf in jax.tree.leaves(model.state.params))
  name = f"{model.config.method}, {weights:,} weights"
  if model.prior:
    name += f", {model.prior.name} prior fitted to the codes of train"
  return name


def log_weights(
  model: trained.Trained, source: Source, draws: int
) -> Iterator[np.ndarray]:
  """Log-weights of `draws` draws for each batch of a split, `[draws, B]`."""
  method, settings = model.method, model.config.evaluation
  assert isinstance(method, Bounded)
  preparation = Preparation.from_config(model.config.data)
  size = _rounded(settings.batch_size, source, model.mesh)

  def one(state: State, batch: Any, i: jax.Array, j: jax.Array) -> jax.Array:
    # All draws of a batch see one binarisation: the key of the data is i's.
    on_data, on_draws = _keys(settings.seed, i)
    batch = preparation(batch, on_data, train=False)
    return method.log_weights(state, batch, jax.random.fold_in(on_draws, j))

  step = sharding.compile(
    one, model.mesh, out_shardings=sharding.replicated(model.mesh)
  )
  batches = feeder.eval_batches(source, size, model.mesh, limit=settings.limit)
  count = _counted(source, settings.limit)
  for i, (batch, _) in enumerate(batches):
    rows = [
      to_host(step(model.state, batch, np.int32(i), np.int32(j)))
      for j in range(draws)
    ]
    yield np.stack(rows)[:, : count - i * size]


def posteriors(
  model: trained.Trained, source: Source
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Means and log-variances `[B, d]` of the codes of each batch of a split.

  Images are those of the likelihood's terms, their binarisation included.
  """
  method, settings = model.method, model.config.evaluation
  assert isinstance(method, Posterior)
  preparation = Preparation.from_config(model.config.data)
  size = _rounded(settings.batch_size, source, model.mesh)

  def one(state: State, batch: Any, i: jax.Array) -> Any:
    on_data, _ = _keys(settings.seed, i)
    batch = preparation(batch, on_data, train=False)
    return method.posterior(state, batch["image"])

  whole = sharding.replicated(model.mesh)
  step = sharding.compile(one, model.mesh, out_shardings=(whole, whole))
  batches = feeder.eval_batches(source, size, model.mesh, limit=settings.limit)
  count = _counted(source, settings.limit)
  for i, (batch, _) in enumerate(batches):
    mean, log_var = step(model.state, batch, np.int32(i))
    real = slice(count - i * size)
    yield to_host(mean)[real], to_host(log_var)[real]


def remade(
  model: trained.Trained, source: Source, mean_rest: bool
) -> Iterator[Remade]:
  """Each batch of a split, remade of its first k codes for k = 0 ... T.

  Codes are those of the likelihood's terms: the same images and draws.

  Args:
    model: what is scored.
    source: the split.
    mean_rest: whether codes that are not kept are the prior's means.
  """
  method, mesh, settings = model.method, model.mesh, model.config.evaluation
  assert isinstance(method, Lossy)
  preparation = Preparation.from_config(model.config.data)
  size = _rounded(settings.batch_size, source, mesh)
  one, rows = sharding.replicated(mesh), sharding.batch_sharding(mesh)

  def code(state: State, batch: Any, i: jax.Array) -> Any:
    on_data, on_step = _keys(settings.seed, i)
    images = preparation(batch, on_data, train=False)["image"]
    codes, cost = method.priced(state, images, on_step)
    return images, codes, cost, to_uint8(images[:SHOWN])

  def copy(state: State, images: Any, codes: Any, kept: Any, i: Any) -> Any:
    # One draw for all k: curves are of codes, not of draws.
    rng = jax.random.fold_in(jax.random.key(settings.seed), REST)
    rng = None if mean_rest else jax.random.fold_in(rng, i)
    copies, rec = method.remake(state, images, codes, kept, rng)
    mse = jax.numpy.square(copies - images).mean((1, 2, 3))
    return mse, rec, to_uint8(copies[:SHOWN])

  keep = sharding.compile(code, mesh, out_shardings=(rows, rows, one, one))
  make = sharding.compile(copy, mesh, out_shardings=one)
  count = _counted(source, settings.limit)
  batches = feeder.eval_batches(source, size, mesh, limit=settings.limit)
  for i, (batch, _) in enumerate(batches):
    images, codes, cost, shown = keep(model.state, batch, np.int32(i))
    found = [
      [to_host(x) for x in make(model.state, images, codes, k, np.int32(i))]
      for k in np.arange(method.steps + 1, dtype=np.int32)
    ]
    mse, rec, copies = (np.stack(x, 1) for x in zip(*found, strict=True))
    real = slice(count - i * size)
    rate = np.cumsum(to_host(cost), 1, dtype=np.float64)
    yield Remade(
      np.pad(rate, ((0, 0), (1, 0)))[real],
      mse[real],
      rec[real] if isinstance(method, Bounded) and method.bounded else None,
      to_host(shown)[real],
      copies[real],
    )


def prior_nll(model: trained.Trained, source: Source) -> float:
  """Mean of -log p(code) over a split under the fitted prior, nats."""
  prior, settings = model.prior, model.config.evaluation
  assert prior is not None
  law, total = prior.law, 0.0
  count = _counted(source, settings.limit)
  for start in range(0, count, settings.batch_size):
    rows = np.arange(start, min(start + settings.batch_size, count))
    codes = model.encode(source.read(rows)["image"])
    total -= float(law.log_prob(prior.params, jax.numpy.asarray(codes)).sum())
  return total / count


def _keys(seed: int, i: jax.Array) -> jax.Array:
  """Keys of batch `i`, `[2]`: of its images, and of what is drawn for them."""
  return jax.random.split(jax.random.fold_in(jax.random.key(seed), i))


def _counted(source: Source, limit: int) -> int:
  """Examples of a split that are read; a limit of 0 is none."""
  return min(limit or len(source), len(source))


def _rounded(batch_size: int, source: Source, mesh: Mesh) -> int:
  """A batch size that the devices share and the split can fill."""
  return -(-min(batch_size, len(source)) // mesh.size) * mesh.size
