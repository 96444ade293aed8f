"""Laws of the recorder: one warning each time that something begins."""

import types

from genlat.recorder import Recorder


class Sick:
  """A method that finds fault with every loss above 1, and says how large."""

  def health(self, history):
    """One line, with the number behind the colon."""
    loss = history[-1]["loss"]
    return [f"the loss is large: {loss:.1f}"] if loss > 1.0 else []


class Silent:
  """A logbook that keeps nothing."""

  def write(self, *_):
    """Forgets."""

  def progress(self, *_):
    """Is still."""


def lines(capsys, losses, method):
  config = types.SimpleNamespace(batch_size=1, steps=10)
  run = types.SimpleNamespace(config=config, method=method)
  record = Recorder(run, Silent())
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
