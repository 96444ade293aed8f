"""Laws of fetching published files, on a server of the test's own."""

import hashlib
import http.server
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from data_layouts import pixels, settings, write_idx

from genlat import data
from genlat.data import originals, prepare

FILES = tuple(
  f"{stem}-{kind}-ubyte.gz"
  for stem in ("train", "t10k")
  for kind in ("images-idx3", "labels-idx1")
)


class _Server(http.server.ThreadingHTTPServer):
  """Serves bytes by name; can break off, and can ignore Range."""

  daemon_threads = True

  def __init__(self) -> None:
    super().__init__(("127.0.0.1", 0), _Handler)
    self.files: dict[str, bytes] = {}
    self.break_after = 10**9  # bytes of a response, once
    self.ranges = True
    self.asked: list[tuple[str, str]] = []

  @property
  def url(self) -> str:
    return f"http://127.0.0.1:{self.server_address[1]}/sets"


class _Handler(http.server.BaseHTTPRequestHandler):
  server: _Server

  def do_GET(self) -> None:
    name = self.path.removeprefix("/sets/")
    asked = self.headers.get("Range", "")
    self.server.asked.append((name, asked))
    if name not in self.server.files:
      self.send_error(404)
      return
    content = self.server.files[name]
    start = 0
    if asked and self.server.ranges:
      start = int(asked.removeprefix("bytes=").rstrip("-"))
    self.send_response(206 if start else 200)
    self.send_header("Content-Length", str(len(content) - start))
    self.end_headers()
    limit, self.server.break_after = self.server.break_after, 10**9
    self.wfile.write(content[start : start + limit])

  def log_message(self, format: str, *args: object) -> None:
    """Says nothing."""


@pytest.fixture
def server() -> Iterator[_Server]:
  """A server on loopback, ended after the test."""
  running = _Server()
  thread = threading.Thread(target=running.serve_forever, args=(0.01,))
  thread.start()
  yield running
  running.shutdown()
  running.server_close()
  thread.join()


@pytest.fixture
def small_mnist(tmp_path, monkeypatch, server) -> dict[str, bytes]:
  """A small MNIST as if it were the published one, on the server."""
  labels = np.arange(30, dtype=np.uint8) % 10
  folder = write_idx(tmp_path / "origin", pixels(30, 28, 28), labels)
  server.files = {name: (folder / name).read_bytes() for name in FILES}
  listed = [
    originals.Original(name, len(content), hashlib.sha256(content).hexdigest())
    for name, content in server.files.items()
  ]
  published = originals.Published(server.url, tuple(listed))
  monkeypatch.setitem(originals.ORIGINALS, "mnist", published)
  return dict(server.files)


def _run(tmp_path, *more: str) -> int:
  return prepare.main(["mnist", f"--out={tmp_path / 'out'}", *more])


def _names(tmp_path) -> list[str]:
  return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_files_are_fetched_checked_and_readable(
  tmp_path, capsys, server, small_mnist
):
  assert _run(tmp_path) == 0
  assert _names(tmp_path) == sorted(FILES)
  for name, content in small_mnist.items():
    assert (tmp_path / "out" / name).read_bytes() == content
  assert f"--config.data.path={tmp_path / 'out'}" in capsys.readouterr().out
  source = data.build(settings("mnist", tmp_path / "out"), "train")
  assert source.read(np.arange(3))["label"].tolist() == [0, 1, 2]
  asked = len(server.asked)
  assert _run(tmp_path) == 0  # a second time nothing is fetched
  assert len(server.asked) == asked


def test_a_mirror_replaces_the_published_address(
  tmp_path, monkeypatch, server, small_mnist
):
  files = originals.ORIGINALS["mnist"].files
  gone = originals.Published("http://127.0.0.1:1/gone", files)
  monkeypatch.setitem(originals.ORIGINALS, "mnist", gone)
  assert _run(tmp_path) == 1
  assert _run(tmp_path, f"--mirror={server.url}/") == 0
  assert _names(tmp_path) == sorted(small_mnist)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(
  tmp_path, capsys, server, small_mnist, ranges
):
  name, content = next(iter(small_mnist.items()))
  server.break_after, server.ranges = 1000, ranges
  assert _run(tmp_path) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert name in line and f"have 1000 of {len(content)} bytes" in line
  assert "Run the command again" in line
  assert _names(tmp_path) == [f"{name}.part"]
  assert _run(tmp_path) == 0
  assert (name, "bytes=1000-") in server.asked
  assert (tmp_path / "out" / name).read_bytes() == content
  assert _names(tmp_path) == sorted(FILES)


@pytest.mark.parametrize("longer", [False, True])
def test_a_wrong_hash_is_one_line_and_leaves_nothing(
  tmp_path, capsys, server, small_mnist, longer
):
  name = FILES[0]
  content = bytearray(server.files[name])
  content[-1] ^= 1
  server.files[name] = bytes(content) + (b"more" if longer else b"")
  assert _run(tmp_path) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert "wrong content: expected" in line and name in line
  assert hashlib.sha256(small_mnist[name]).hexdigest() in line
  assert _names(tmp_path) == []


def test_a_damaged_file_in_place_is_not_accepted(tmp_path, capsys, small_mnist):
  assert _run(tmp_path) == 0
  (tmp_path / "out" / FILES[1]).write_bytes(b"damaged")
  assert _run(tmp_path) == 1
  assert "remove it and run the command again" in capsys.readouterr().err
  assert small_mnist[FILES[0]] == (tmp_path / "out" / FILES[0]).read_bytes()


@pytest.mark.usefixtures("small_mnist")
def test_a_missing_file_and_another_scheme_are_one_line(
  tmp_path, capsys, server
):
  del server.files[FILES[2]]
  assert _run(tmp_path) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert "HTTP Error 404" in line and FILES[2] in line
  assert _run(tmp_path, f"--mirror=file://{tmp_path}") == 1
  assert "not an http(s) address" in capsys.readouterr().err


def test_every_published_file_has_a_hash_and_a_size():
  for published in originals.ORIGINALS.values():
    assert published.url.startswith("http") and published.files
    for original in published.files:
      assert len(bytes.fromhex(original.sha256)) == 32
      assert original.size > 1000
