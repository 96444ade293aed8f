"""Laws of the recorder: one warning each time that something begins."""

import types

from genlat.recorder import Recorder


class Sick:
  """A method that finds fault with every loss above 1, and says how large."""

  def measured(self, metrics):
    """All but what it has no room for."""
    return {k: v for k, v in metrics.items() if k != "idle"}

  def health(self, history):
    """One line, with the number behind the colon."""
    loss = history[-1]["loss"]
    return [f"the loss is large: {loss:.1f}"] if loss > 1.0 else []


class Logbook:
  """Knows what it was last given."""

  def write(self, step, metrics, split):
    """Keeps the metrics."""
    self.last = metrics

  def progress(self, *_):
    """Is still."""


def lines(capsys, losses, method):
  config = types.SimpleNamespace(batch_size=1, steps=10)
  run = types.SimpleNamespace(config=config, method=method)
  record = Recorder(run, Logbook())
  for step, loss in enumerate(losses, 1):
    record([(step, {"failed": 0.0, "loss": loss})])
  return capsys.readouterr().err.splitlines()


def test_a_fault_is_said_when_it_begins_and_when_it_comes_back(capsys):
  found = lines(capsys, (0.5, 2.0, 3.0, 4.0, 0.5, 5.0), Sick())
  assert [line.split("warning: ")[1] for line in found] == [
    "step 2: the loss is large: 2.0",
    "step 6: the loss is large: 5.0",
  ]


def test_a_method_without_health_is_left_alone(capsys):
  assert lines(capsys, (2.0, 3.0), object()) == []


def test_what_a_step_did_not_measure_is_not_written():
  config = types.SimpleNamespace(batch_size=1, steps=10)
  run = types.SimpleNamespace(config=config, method=Sick())
  logbook = Logbook()
  Recorder(run, logbook)([(1, {"failed": 0.0, "loss": 1.0, "idle": 0.0})])
  assert logbook.last == {"loss": 1.0}
