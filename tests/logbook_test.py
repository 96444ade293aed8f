"""Laws of the logbook: every step once, and valid JSON whatever happens."""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from genlat.logbook import LateMetrics, Logbook, progress


def open_book(folder: pathlib.Path, resume_step: int = 0, **given: Any):
  options = {"tensorboard": False, "wandb": False} | given
  return Logbook(folder, resume_step=resume_step, **options)


def lines(folder: pathlib.Path) -> list[dict[str, Any]]:
  text = (folder / "metrics.jsonl").read_text()
  return [
    json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()
  ]


def events(folder: pathlib.Path) -> list[Any]:
  """All events of the files in their order, without the first of each."""
  found = []
  for file in sorted((folder / "tensorboard").iterdir()):
    content, at = file.read_bytes(), 0
    while at < len(content):
      (size,) = struct.unpack_from("Q", content, at)
      found.append(event_pb2.Event.FromString(content[at + 12 :][:size]))
      at += size + 16
  return [event for event in found if not event.file_version]


def test_a_line_holds_step_split_and_numbers(tmp_path: pathlib.Path):
  book = open_book(tmp_path)
  book.write(5, {"loss": np.float32(0.5), "kl": 2}, "train")
  # At once, since a kill may come next.
  assert lines(tmp_path) == [
    {"step": 5, "split": "train", "loss": 0.5, "kl": 2.0}
  ]
  book.close()


def test_numbers_that_are_not_finite_stay_valid_json(tmp_path: pathlib.Path):
  book = open_book(tmp_path, tensorboard=True)
  values = {"a": float("nan"), "b": float("inf"), "c": -float("inf")}
  book.write(1, values, "train")
  book.close()
  (line,) = lines(tmp_path)
  assert (line["a"], line["b"], line["c"]) == ("nan", "inf", "-inf")
  np.testing.assert_equal({k: float(line[k]) for k in "abc"}, values)


def test_the_names_of_the_log_are_not_metrics(tmp_path: pathlib.Path):
  book = open_book(tmp_path)
  with pytest.raises(ValueError, match="cannot be called 'step'"):
    book.write(1, {"step": 3.0}, "train")
  book.close()


def test_on_resume_no_step_is_missing_or_twice(tmp_path: pathlib.Path):
  book = open_book(tmp_path)
  for step in range(10, 60, 10):
    book.write(step, {"loss": step}, "train")
    book.write(step, {"loss": step}, "validation")
  book.close()
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 30, "split": "tr')  # torn by a kill
  book = open_book(tmp_path, resume_step=30)
  for step in range(40, 80, 10):
    book.write(step, {"loss": step}, "train")
  book.close()
  assert [x["step"] for x in lines(tmp_path) if x["split"] == "train"] == [
    *range(10, 80, 10)
  ]
  steps = [x["step"] for x in lines(tmp_path) if x["split"] == "validation"]
  assert steps == [10, 20, 30]
  assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_run_without_a_checkpoint_starts_its_log_anew(
  tmp_path: pathlib.Path,
):
  for _ in range(2):
    book = open_book(tmp_path)
    book.write(0, {"loss": 1}, "validation")
    book.write(10, {"loss": 1}, "train")
    book.close()
  assert [line["step"] for line in lines(tmp_path)] == [0, 10]


def test_event_files_tell_where_a_resumed_run_began(tmp_path: pathlib.Path):
  for resume_step in (0, 20):
    book = open_book(tmp_path, resume_step, tensorboard=True)
    book.write(resume_step + 10, {"loss": 0.5}, "train")
    book.images(resume_step + 10, "samples", np.full((6, 4, 3), 7, np.uint8))
    book.close()
  found = sorted(events(tmp_path), key=lambda event: event.step)
  starts = [event.step for event in found if event.HasField("session_log")]
  assert starts == [0, 21]
  values = [
    (event.step, value.tag, value.WhichOneof("value"))
    for event in found
    for value in event.summary.value
  ]
  assert values == [
    (10, "train/loss", "simple_value"),
    (10, "samples", "image"),
    (30, "train/loss", "simple_value"),
    (30, "samples", "image"),
  ]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_kept_as_png(tmp_path: pathlib.Path, channels: int):
  array = np.random.default_rng(0).integers(0, 256, (6, 4, channels), np.uint8)
  book = open_book(tmp_path)
  book.images(300, "samples/prior", array)
  with pytest.raises(ValueError, match=r"float64 \[6, 4, "):
    book.images(300, "samples", array / 255)
  book.close()
  with Image.open(tmp_path / "images" / "samples_prior_300.png") as picture:
    np.testing.assert_array_equal(
      np.asarray(picture).reshape(array.shape), array
    )


def test_only_the_first_process_writes(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
):
  monkeypatch.setattr(jax, "process_index", lambda: 1)
  book = open_book(tmp_path, tensorboard=True)
  book.write(1, {"loss": 1.0}, "train")
  book.images(1, "samples", np.zeros((2, 2, 1), np.uint8))
  book.progress(1, 1, 1.0, 1.0)
  book.close()
  assert not list(tmp_path.iterdir()) and capfd.readouterr().err == ""


def test_piped_progress_is_plain_lines_at_intervals(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
):
  clock = iter([100.0, 104.0, 110.0, 111.0])
  monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
  book = open_book(tmp_path, console=False)
  for step in (10, 20, 30, 40):
    book.progress(step, 40, 1234.4, 0.51234)
  book.close()
  assert capfd.readouterr().err.splitlines() == [
    "step 10/40, 1234 images/s, loss 0.5123, ? left",
    # 20 steps took 10 seconds, 10 are left.
    "step 30/40, 1234 images/s, loss 0.5123, 00:05 left",
    "step 40/40, 1234 images/s, loss 0.5123, 00:00 left",
  ]


def test_progress_on_a_terminal_is_a_bar(tmp_path: pathlib.Path, capfd: Any):
  book = open_book(tmp_path, console=True)
  for step in (10, 20):
    book.progress(step, 20, 1234.4, 0.51234)
  book.close()
  last = capfd.readouterr().err.split("\r")[-1]
  assert "100%" in last and "20/20" in last and "\n" in last
  assert "1234 images/s, loss 0.5123" in last


def test_metrics_come_one_call_late():
  late = LateMetrics()
  first = {"loss": jnp.float32(1.5), "finite": jnp.array(True)}
  assert late.push(8, first) == []
  assert late.push(16, {"loss": jnp.float32(2.5)}) == [
    (8, {"loss": 1.5, "finite": 1.0})
  ]
  assert late.flush() == [(16, {"loss": 2.5})]
  assert late.flush() == []


class _Unready:
  """Metrics of a call that is still running; reading them would wait."""

  def __array__(self, *_: Any, **__: Any) -> np.ndarray:
    raise AssertionError("the step just dispatched was waited for")


def test_the_call_just_dispatched_is_not_waited_for():
  late = LateMetrics()
  assert late.push(1, {"loss": jnp.float32(1)}) == []
  assert late.push(2, {"loss": _Unready()}) == [(1, {"loss": 1.0})]  # pyright: ignore


def test_wandb_is_an_extra(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  monkeypatch.setitem(sys.modules, "wandb", None)
  with pytest.raises(ValueError, match=r"pip install 'genlat\[wandb\]'"):
    open_book(tmp_path, wandb=True)


def test_wandb_goes_on_with_one_run(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
  begun, told = [], []
  fake = types.SimpleNamespace(
    init=lambda **given: begun.append(given),
    log=lambda values, step: told.append((step, values)),
    Image=lambda path: pathlib.Path(path).name,
    finish=lambda: told.append("finished"),
  )
  monkeypatch.setitem(sys.modules, "wandb", fake)
  for step in (0, 10):
    book = open_book(tmp_path, step, wandb=True)
    book.write(step + 10, {"loss": 1.0}, "train")
    book.images(step + 10, "samples", np.zeros((2, 2, 1), np.uint8))
    book.close()
  assert begun[0]["id"] == begun[1]["id"] and begun[1]["resume"] == "allow"
  assert told[:3] == [
    (10, {"train/loss": 1.0}),
    (10, {"samples": "samples_10.png"}),
    "finished",
  ]


def test_a_full_disk_is_told_in_one_line(tmp_path: pathlib.Path):
  mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
  try:
    subprocess.run(mount, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip("no small file system can be mounted here")
  try:
    book = open_book(tmp_path, tensorboard=True)
    book.write(1, {"loss": 1.0}, "train")
    with pytest.raises(OSError, match="cannot be written.*free space") as told:
      noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
      book.images(1, "samples", noise)
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "images").iterdir())
    with pytest.raises(OSError, match="cannot be written.*free space"):
      for step in range(2, 5000):
        book.write(step, {"loss": 1.0, "a long name of a metric": 0.1}, "train")
    book.close()
    assert lines(tmp_path)[0]["step"] == 1
    shutil.rmtree(tmp_path / "tensorboard")
    open_book(tmp_path, 1).close()
    assert [line["step"] for line in lines(tmp_path)] == [1]
  finally:
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)
