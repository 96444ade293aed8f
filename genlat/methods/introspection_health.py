"""How a run shows that the game of encoder and decoder goes wrong."""

import math
import statistics
from collections.abc import Mapping, Sequence

LONG = 10  # logged steps that are looked at
MOST = 8  # of them in which something has to be so to be warned of
SILENCE = 1.0  # nats that codes of real images should have at least
GONE = 1e-6  # of Soft-IntroVAE's exponentials, which are 1/4 at the most

MORE = (
  "give the reconstruction more weight (config.introvae.beta,"
  " config.soft_introvae.beta_reconstruction)"
)


def ailments(
  history: Sequence[Mapping[str, float]],
  *,
  cure: str,
  explosion: float,
  silence: float = SILENCE,
) -> list[str]:
  """What is wrong with a game, as lines that name the key to change.

  Args:
    history: metrics of logged steps, oldest first.
    cure: what to do where samples' KL lies below that of real images.
    explosion: KL of images of any kind, nats, that none should reach.
    silence: KL of real images, nats, below which their codes say nothing.
  """
  # Only the game itself is judged: in the pretraining `game` is 0.
  window = [m for m in history if m.get("game")][-LONG:]
  if len(window) < LONG:
    return []
  over = lambda test: sum(map(test, window)) >= MOST
  # One step's spike is no figure to act on.
  usual = lambda key: statistics.median(m.get(key, 0.0) for m in window)
  lines = []
  silent = over(lambda m: m["kl_real"] < silence)
  for kind, made in (("kl_fake", "samples"), ("kl_rec", "copies")):
    below = over(lambda m, k=kind: m.get(k, math.inf) < m["kl_real"])
    if below and not silent:
      lines.append(
        f"{kind.replace('kl', 'KL')} has been below KL_real for long: the"
        f" encoder takes {made} for real; {cure}"
      )
  if silent:
    lines.append(
      "the codes of real images say next to nothing of them: KL_real is"
      f" {usual('kl_real'):.2g} nats; {MORE}"
    )
  kinds = ("kl_real", "kl_rec", "kl_fake")
  peak = lambda m: max((m.get(k, 0.0), k) for k in kinds)
  explodes = over(lambda m: peak(m)[0] > explosion)
  # Where KLs explode a higher margin would only let them grow.
  if not explodes and over(lambda m: m.get("hinge_active", 1.0) == 0.0):
    lines.append(
      "the hinge has not been active for long: no made image is below the"
      " margin, and nothing pushes samples away; raise config.introvae.margin"
      f" above {usual('kl_fake'):.0f}"
    )
  soft = [k for k in window[-1] if k.startswith("exponential_")]
  strongest = lambda m: max(m[k] for k in soft)
  if soft and over(lambda m: strongest(m) < GONE):
    lines.append(
      "the exponentials of made images have vanished for long, and nothing"
      f" pushes samples away: {min(map(strongest, window)):.0e}; lower"
      " config.soft_introvae.beta_fake"
    )
  if not silent and over(lambda m: m["spread"] < 0.3):
    lines.append(
      "samples are nearly alike: the distance of a pair is"
      f" {usual('spread'):.2f} of that of real images; {MORE}"
    )
  if explodes:
    nats, largest = statistics.median_high(map(peak, window))
    lines.append(
      f"{largest.replace('kl', 'KL')} explodes: {nats:.0f} nats; lower"
      " config.optimizer.lr, or begin with config.introspection.pretrain"
    )
  return lines
