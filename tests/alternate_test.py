"""The pairing harness of the benchmarks: order, quiet rounds, ratios."""

import argparse
import collections
import types

import pytest

from benchmarks import alternate

ARGS = argparse.Namespace(rounds=2, seconds=0.0, others=0.25)


def _rivals(seen: list[str]) -> list[alternate.Rival]:
  return [
    alternate.Rival(name, lambda name=name: seen.append(name), 4)
    for name in ("a", "b", "c")
  ]


def _others(monkeypatch: pytest.MonkeyPatch, cores: list[float]) -> None:
  readings = iter(cores)

  class Clock:
    def others(self) -> float:
      return next(readings)

  monkeypatch.setattr(alternate, "Clock", Clock)


def test_the_order_is_reversed_from_round_to_round(monkeypatch):
  _others(monkeypatch, [0.0, 0.0])
  seen: list[str] = []
  alternate.measure(_rivals(seen), ARGS)
  assert "".join(seen).endswith("abccba")


def test_only_quiet_rounds_are_kept(monkeypatch, capsys):
  _others(monkeypatch, [0.9, 0.1, 0.3, 0.25])
  timings = alternate.measure(_rivals([]), ARGS)
  assert [len(timing.seconds) for timing in timings] == [2, 2, 2]
  assert capsys.readouterr().out.count("thrown away") == 2


def test_a_busy_machine_is_refused(monkeypatch):
  _others(monkeypatch, [1.0] * ARGS.rounds * alternate.TRIES)
  with pytest.raises(SystemExit, match="no round was quiet"):
    alternate.measure(_rivals([]), ARGS)


def test_ratios_pair_blocks_of_one_round():
  fast = alternate.Timing("fast", (1.0, 2.0, 4.0))
  slow = alternate.Timing("slow", (2.0, 6.0, 4.0))
  assert fast.ratios(slow) == [2.0, 3.0, 1.0]
  assert slow.median == 4.0


def test_own_work_and_idling_are_not_counted_as_others(monkeypatch):
  Times = collections.namedtuple("Times", "user system idle iowait")
  Own = collections.namedtuple("Own", "user system children_u children_s wait")
  machine = iter([Times(10, 2, 50, 1), Times(16, 3, 90, 9)])
  own = iter([Own(4, 1, 0, 0, 7), Own(8, 1, 1, 0, 9)])
  wall = iter([100.0, 104.0])
  process = types.SimpleNamespace(cpu_times=lambda: next(own))
  monkeypatch.setattr(alternate.psutil, "cpu_times", lambda: next(machine))
  monkeypatch.setattr(alternate.psutil, "Process", lambda: process)
  monkeypatch.setattr(alternate.time, "perf_counter", lambda: next(wall))
  assert alternate.Clock().others() == pytest.approx((7 - 5) / 4)
