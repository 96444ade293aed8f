"""Each mistake ends in one line that names the cause and the way out."""

import json
import pathlib
import shutil
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

import genlat
import main
from configs import base
from configs import run as own
from genlat import command, identity, workdir
from tests import shipped

CONFIG = "configs/glf_digits.py:smoke"
OPTIONS = command.Options("last", 4, 0, "")
ALONE = command.Peers("", 1, 0)


def run(workdir: pathlib.Path, mode: str = "train", options=OPTIONS, **changes):
  quiet = {"log__tensorboard": False, "log__pictures": 0}
  config = shipped.config("glf_digits", "smoke", **{**quiet, **changes}).lock()
  return command.run(mode, config, workdir, options, ALONE)


def only_line(capsys) -> str:
  err = capsys.readouterr().err
  errors = [x for x in err.splitlines() if "genlat: error:" in x]
  assert len(errors) == 1 and "Traceback" not in err, err
  return errors[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A finished smoke run."""
  workdir = tmp_path_factory.mktemp("run")
  assert run(workdir) == 0
  return workdir


@pytest.mark.parametrize(
  "changes, words",
  [
    ({"method": "gan"}, ["config.method", "glf", "'gan'"]),
    ({"data__name": "minst"}, ["config.data.name", "mnist", "'minst'"]),
    ({"batch_size": 100000}, ["config.batch_size", "100000"]),
    ({"batch_size": 6}, ["multiple of the 4 devices", "6"]),
    ({"ema": 1.0}, ["config.ema", "1.0"]),
    ({"log__validate": 0}, ["config.log.validate", "0"]),
    ({"optimizer__accumulate": 0}, ["config.optimizer.accumulate", "0"]),
    ({"optimizer__warmup": -1}, ["config.optimizer.warmup", "-1"]),
    ({"optimizer__b1": 1.5}, ["config.optimizer.b1", "1.5"]),
    ({"optimizer__eps": -1.0}, ["config.optimizer.eps", "above 0", "-1.0"]),
    ({"optimizer__momentum": 2.0}, ["config.optimizer.momentum", "2.0"]),
    ({"players__flow__b1": 1.5}, ["config.players.flow.b1", "1.5"]),
    ({"players__flow__lr_scale": -1.0}, ["players.flow.lr_scale", "above 0"]),
    ({"text__lr": 0.0}, ["config.text.lr", "above 0"]),
    ({"text__margin": -1.0}, ["config.text.margin", "above 0", "-1.0"]),
    ({"flow__clamp": 0.0}, ["config.flow.clamp", "above 0", "0.0"]),
    ({"flow__bound": -1.0}, ["config.flow.bound", "-1.0"]),
    ({"data__resident_limit": -1.0}, ["config.data.resident_limit", "-1.0"]),
    ({"model__channels": (8,)}, ["config.model.channels", "(8,)"]),
    ({"model__hidden": 0}, ["config.model.hidden", "0"]),
    ({"flow__blocks": 0}, ["config.flow.blocks", "0"]),
    (
      {"checkpoint__best": "fid", "data__validation": 0.2},
      ["config.checkpoint.best", "loss", "'fid'"],
    ),
    ({"log__every": 0}, ["config.log.every", "0"]),
    ({"checkpoint__best": "loss"}, ["config.data.validation"]),
    ({"optimizer__accumulate": 3}, ["config.optimizer.accumulate", "16"]),
    ({"data__image_size": 10}, ["multiples of 4", "10"]),
    ({"data__random_crop": 17}, ["config.data.random_crop", "16 x 16", "17"]),
    ({"data__feeder": "tape"}, ["config.data.feeder", "'tape'"]),
    ({"mesh__fsdp": 3}, ["config.mesh.fsdp", "4"]),
    ({"evaluation__metrics": ("fid",)}, ["evaluation.metrics", "'fid'"]),
    ({"evaluation__split": "tests"}, ["evaluation.split", "'tests'"]),
    ({"evaluation__resize": "area"}, ["evaluation.resize", "clean, tf1"]),
    ({"flow__coupling": "planar"}, ["coupling", "'planar'"]),
    ({"glf__beta": 0.0}, ["config.glf.beta"]),
    ({"likelihood__name": "perceptual"}, ["config.weights.vgg", "vgg16"]),
    ({"data__name": "mnist", "data__path": "/nowhere"}, ["/nowhere"]),
  ],
)
def test_a_bad_value_is_named(tmp_path, capsys, changes, words):
  assert run(tmp_path / "run", **changes) == 1
  line = only_line(capsys)
  assert all(word in line for word in words), line


def test_a_directory_of_another_run_is_left_alone(trained, capsys):
  before = sorted(p.name for p in (trained / "checkpoints").iterdir())
  assert run(trained, model__latent=4) == 1
  line = only_line(capsys)
  assert "model.latent" in line and "another --workdir" in line
  after = sorted(p.name for p in (trained / "checkpoints").iterdir())
  assert before == after


def test_what_may_change_between_runs_may(trained):
  assert (
    run(
      trained,
      log__every=3,
      steps=6,
      data__feeder="streaming",
      steps_per_call=2,
    )
    == 0
  )


def test_fewer_steps_than_are_done_are_refused(trained, capsys):
  before = (trained / "run.json").read_bytes()
  assert run(trained, steps=1) == 1
  line = only_line(capsys)
  assert "more than the 1 asked for" in line and "--checkpoint" in line
  assert (trained / "run.json").read_bytes() == before


def test_a_run_of_which_only_a_player_differs_is_left_alone(trained, capsys):
  """A player's key is there only where it is set."""
  before = (trained / "run.json").read_bytes()
  assert run(trained, players__autoencoder__b1=0.5, steps=6) == 1
  line = only_line(capsys)
  assert "players.autoencoder.b1: 0.9 -> 0.5" in line
  # The optimiser's own value changes nothing.
  old = workdir.read(trained).config
  same = old.copy_and_resolve_references().unlock()
  same.players.autoencoder.b1 = old.optimizer.b1
  assert workdir.differences(old, same) == []
  assert workdir.differences(same, old) == []
  assert (trained / "run.json").read_bytes() == before


def test_a_key_that_came_later_is_compared_with_what_was_done_before():
  raw = json.loads(base.base().to_json())
  for key in workdir.GAINED:
    block, name = key.split(".")
    del raw[block][name]
  del raw["text"]["forget"]  # one that changes nothing where it is not read
  written = {"config": raw, "image_shape": [], "data": {}, "versions": {}}
  old = workdir.described(written).config
  assert old.aae.encoder_reconstruction == 1.0 and not old.data.random_crop
  new = base.base()
  assert workdir.differences(old, new) == []
  new.aae.wrong_captions, new.aae.real_labels = 4, 1.0
  assert workdir.differences(old, new) == [
    "aae.real_labels: 0.0 -> 1.0",
    "aae.wrong_captions: 1 -> 4",
  ]


def test_blocks_of_players_that_a_game_lacks_count_for_nothing(tmp_path):
  class Images(list):
    name, fingerprint, image_shape = "images", "0" * 64, (8, 8, 1)

  def adopt(lr_scale: float, who: str) -> None:
    config = shipped.config("aae_mnist", "smoke")
    config.players = {who: {"lr_scale": lr_scale}} if lr_scale else {}
    run_: Any = types.SimpleNamespace(
      workdir=tmp_path,
      config=config.lock(),
      method=shipped.build(config),
      train=Images(),
    )
    identity.adopt(run_)

  adopt(0, "")  # as runs were written before they had blocks
  adopt(0.2, "image_discriminator")
  with pytest.raises(workdir.RunError, match=r"players.encoder.lr_scale: 1"):
    adopt(0.2, "encoder")


def test_other_data_under_the_same_configuration_is_refused(trained, capsys):
  described = trained / "run.json"
  text = described.read_text()
  described.write_text(text.replace('"fingerprint": "', '"fingerprint": "00'))
  assert run(trained, steps=6) == 1
  assert "other data" in only_line(capsys)
  described.write_text(text)


def test_without_its_description_a_run_is_known_by_its_checkpoints(
  trained, capsys
):
  described = trained / "run.json"
  before = workdir.read(trained)
  described.unlink()
  changes = {"steps": 8}
  assert run(trained, optimizer__lr=0.5, **changes) == 1
  line = only_line(capsys)
  assert "optimizer.lr" in line and "0.5" in line
  assert not described.exists()
  known = identity.recorded(trained)
  assert known and known.data == before.data
  assert run(trained, **changes) == 0
  assert "goes on from step" in capsys.readouterr().err
  after = workdir.read(trained)
  assert after.data == before.data
  assert not workdir.differences(before.config, after.config)
  assert after.config.steps == 8


@pytest.mark.parametrize(
  "options, words",
  [
    (command.Options("best", 4, 0, ""), ["config.data.validation"]),
    (command.Options("12345", 4, 0, ""), ["12345"]),
    (command.Options("newest", 4, 0, ""), ["last, best or a step"]),
    (command.Options("last", 4, 0, "x.jpg"), [".npz or .png", "x.jpg"]),
  ],
)
def test_a_bad_request_of_a_run_is_named(trained, capsys, options, words):
  assert run(trained, "sample", options, steps=6) == 1
  line = only_line(capsys)
  assert all(word in line for word in words), line


def test_modes_that_need_a_run_say_where_there_is_none(tmp_path, capsys):
  for mode in ("evaluate", "sample", "reconstruct", "interpolate", "fit"):
    assert run(tmp_path, mode) == 1
    assert "no run in" in only_line(capsys)


def test_codes_and_images_of_another_shape_are_refused(trained):
  model = genlat.load(trained)
  with pytest.raises(ValueError, match=r"codes must be \[N, 6\]; got \[2, 3\]"):
    model.decode(np.zeros((2, 3)))
  for images in (np.zeros((2, 8, 8, 1)), np.zeros((2, 7, 7, 1), np.uint8)):
    with pytest.raises(ValueError, match="images must be uint8"):
      model.encode(images)


def test_a_run_older_than_a_key_is_loaded_with_the_key_s_default(
  trained, tmp_path
):
  root = shutil.copytree(trained, tmp_path / "old")
  record = json.loads((root / "run.json").read_text())
  del record["config"]["flow"]["clamp"]
  (root / "run.json").write_text(json.dumps(record))
  with pytest.raises(workdir.RunError, match="get_config.*today's default"):
    genlat.load(root)
  model = genlat.load(root, config=own.get_config(str(root)))
  wanted = genlat.load(trained).sample(4, seed=0)
  np.testing.assert_array_equal(model.sample(4, seed=0), wanted)


def test_a_loss_that_is_no_number_stops_and_can_be_replayed(tmp_path, capsys):
  bad = {"optimizer__name": "sgd", "optimizer__lr": 1e30, "steps": 8}
  assert run(tmp_path, **bad) == 1
  line = only_line(capsys)
  assert "not finite at step" in line and "--mode=replay" in line
  assert (tmp_path / "failure" / "batch.npz").exists()
  kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
  with pytest.raises(FloatingPointError):
    run(tmp_path, "replay", **bad)
  assert kept == sorted(p.name for p in (tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize(
  "argv, words",
  [
    (["--config.optimizer.lrr=1"], ["has no key 'lrr'. Did you mean \"lr\""]),
    (["--config.epoch=1"], ["has no key 'epoch'. Did you mean \"epochs\""]),
    (
      ["--config.zzz=1"],
      ["has no key 'zzz'. configs/base.py and blocks.py have them all"],
    ),
    (["--config.method.x=1"], ["does not fit the configuration"]),
    (["--config", CONFIG, "--config.steps=x"], ["steps", "'x'"]),
    (["--config.optimizer.lr=fast"], ["fast"]),
    (["--config.steps=1.5"], ["1.5"]),
    (["--mode=trian"], ["trian", "train"]),
    (["stray"], ["stray"]),
    (["--config=configs/glf_digits.py:tiny"], ["tiny", "smoke"]),
    (["--config=configs/nothing.py"], ["nothing.py"]),
  ],
)
def test_a_bad_flag_is_named(argv, words, tmp_path):
  given = [] if "config=" in argv[0] else [f"--config={CONFIG}"]
  refused([f"--workdir={tmp_path}", *given, *argv], words)


@pytest.mark.parametrize("mode", ["evaluate", "sample"])
def test_a_mode_without_its_run_is_refused_on_the_command_line(mode, tmp_path):
  refused([f"--mode={mode}", f"--workdir={tmp_path}"], ["no run in"])
  (tmp_path / "run.json").write_text('{"config": ')
  refused(
    [f"--mode={mode}", f"--workdir={tmp_path}"], ["run.json", "delete it"]
  )
  refused([f"--mode={mode}"], ["--workdir is missing"])


def refused(argv: list[str], words: list[str]) -> None:
  done = subprocess.run(
    [sys.executable, "main.py", *argv],
    cwd=pathlib.Path(main.__file__).parent,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  (line,) = done.stderr.strip().splitlines()
  assert line.startswith("genlat: error:")
  assert all(word in line for word in words), line


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 8 MB."""
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
  try:
    subprocess.run(mount, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip("no small file system can be mounted here")
  yield folder
  subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_a_run_and_loses_nothing(small_disk, capsys):
  assert run(small_disk / "run") == 0
  capsys.readouterr()
  kept = {p.name for p in (small_disk / "run" / "checkpoints").glob("[0-9]*")}
  ballast = small_disk / "ballast"
  with (
    ballast.open("wb", buffering=0) as file,
    pytest.raises(OSError, match="No space"),
  ):
    while True:
      file.write(bytes(4096))
  assert run(small_disk / "run", steps=6) == 1
  assert "disk is full" in only_line(capsys)
  assert run(small_disk / "run", "fit", prior__name="gaussian") == 1
  assert "disk is full" in only_line(capsys)
  left = {p.name for p in (small_disk / "run" / "checkpoints").glob("[0-9]*")}
  assert kept <= left
  ballast.unlink()
  assert run(small_disk / "run", steps=6) == 0


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
  tmp_path, capsys, damage
):
  assert run(tmp_path) == 0
  state = tmp_path / "checkpoints" / "4" / "state"
  arrays = [p for p in state.rglob("d/*") if p.is_file()]
  largest = max(arrays, key=lambda p: p.stat().st_size)
  raw = bytearray(largest.read_bytes())
  if damage == "flip":
    # A bit here and there: what lies at one place alone may be read by nobody.
    for place in range(0, len(raw), 997):
      raw[place] ^= 1
  largest.write_bytes(raw if damage == "flip" else raw[: len(raw) // 2])
  capsys.readouterr()
  assert run(tmp_path, steps=6) == 0
  err = capsys.readouterr().err
  assert "goes on from step 2 of 6" in err
  assert err.count("is damaged") == 1
  assert (tmp_path / "checkpoints" / "damaged" / "4").exists()


@pytest.mark.parametrize("feeder", ["resident", "streaming"])
def test_a_corrupt_image_is_named_or_skipped_and_counted(
  tmp_path, capsys, feeder
):
  from PIL import Image

  folder = tmp_path / "faces" / "train"
  folder.mkdir(parents=True)
  for i in range(40):
    Image.new("RGB", (20, 20), (i, 2 * i, 3 * i)).save(folder / f"{i:02d}.png")
  whole = (folder / "07.png").read_bytes()
  (folder / "07.png").write_bytes(b"no picture at all")
  data = {
    "data__name": "folder",
    "data__path": str(folder.parent),
    "data__image_size": 8,
    "data__feeder": feeder,
  }
  assert run(tmp_path / "a", **data) == 1
  line = only_line(capsys)
  assert "07.png" in line and "original file back" in line
  assert "on_error=skip" in line and "another --workdir" in line
  # Each way out that the line names is one.
  assert run(tmp_path / "b", data__on_error="skip", **data) == 0
  assert "1 of 40" in capsys.readouterr().err
  (folder / "07.png").write_bytes(whole)
  assert run(tmp_path / "a", **data) == 0
  # Once there is something learned, the files stay those of the start.
  capsys.readouterr()
  (folder / "07.png").write_bytes(b"no picture at all, again")
  assert run(tmp_path / "a", data__on_error="skip", steps=6, **data) == 1
  line = only_line(capsys)
  assert "data.on_error" in line and "another --workdir" in line


def test_a_start_that_failed_on_a_file_may_leave_it_out(tmp_path, capsys):
  from PIL import Image

  folder = tmp_path / "faces" / "train"
  folder.mkdir(parents=True)
  for i in range(40):
    Image.new("RGB", (8, 8), (i, i, i)).save(folder / f"{i:02d}.png")
  (folder / "07.png").write_bytes(b"no picture at all")
  data = {
    "data__name": "folder",
    "data__path": str(folder.parent),
    "data__feeder": "streaming",
  }
  assert run(tmp_path / "a", **data) == 1
  assert (tmp_path / "a" / "run.json").exists()
  assert run(tmp_path / "a", data__on_error="skip", **data) == 0
  assert "1 of 40" in capsys.readouterr().err
