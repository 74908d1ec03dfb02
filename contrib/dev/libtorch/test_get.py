"""Tests of get.py against a small index of our own: a web server on this machine and a pip that knows it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import fetch
import get
import unpack
import wheels
from trouble import CONFIG, DATA, IO, UNAVAILABLE, Trouble

VERSION_H = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR {}\n#define TORCH_VERSION_PATCH 0\n"
MEMBERS = {
    "torch/include/torch/headeronly/version.h": VERSION_H.format(11),
    "torch/lib/libtorch_cpu.so": "cpu" * 50_000,
    "torch/lib/libtorch_cuda.so": "cuda",
    "torch/lib/libtorch_python.so": "python",
    "torch/__init__.py": "",
    "torch-2.11.0.dist-info/licenses/LICENSE": "licence",
    "nvidia/cu13/lib/libcudart.so.13": "cudart",
    "nvidia/cu13/lib/libcublas.so.13": "cublas",
}

# What `python -m pip` becomes in these tests: it answers from PIP_FAKE_URL, or fails as told.
FAKE_PIP = '''
import json, os, shutil, sys, urllib.request
arguments = sys.argv[1:]
if arguments[0] == "--version":
    sys.exit(int(os.environ.get("PIP_FAKE_MISSING", "0")))
if arguments[0] == "config":
    print("global.cert='/no/such/bundle'")
    sys.exit(0)
if os.environ.get("PIP_FAKE_ERROR"):
    sys.exit("WARNING: retrying\\nERROR: " + os.environ["PIP_FAKE_ERROR"] + "\\nERROR: No matching distribution")
url, file = os.environ["PIP_FAKE_URL"], os.environ["PIP_FAKE_FILE"]
options = dict(a.split("=", 1) for a in arguments if a.startswith("--") and "=" in a)
if arguments[0] == "download":
    os.makedirs(options["--dest"], exist_ok=True)
    shutil.copy(os.environ["PIP_FAKE_COPY"], os.path.join(options["--dest"], file))
elif os.environ.get("PIP_FAKE_OLD"):
    sys.exit(2)
else:
    report = {"install": [{"download_info": {"url": url + "/" + file}}]}
    with open(options["--report"], "w") as out:
        json.dump(report, out)
'''


class Index(BaseHTTPRequestHandler):
    """Serves one body. `cuts` holds the byte counts after which the next answers break off."""

    body = b""
    ranges: list[str | None] = []
    cuts: list[int] = []
    knows_ranges = True
    status = 200

    def do_GET(self):
        asked = self.headers["Range"]
        type(self).ranges.append(asked)
        if self.status != 200:
            self.send_error(self.status)
            return
        start = int(asked[len("bytes=") : -1]) if asked and self.knows_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        self.send_header("Content-Length", str(len(self.body) - start))
        self.end_headers()
        part = self.body[start:]
        self.wfile.write(part[: self.cuts.pop(0)] if self.cuts else part)

    def log_message(self, *arguments):
        pass


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = Path(self.enterContext(tempfile.TemporaryDirectory()))
        Index.ranges, Index.cuts, Index.knows_ranges, Index.status = [], [], True, 200
        server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.errors = self.enterContext(contextlib.redirect_stderr(io.StringIO()))

    def enterContext(self, manager):  # unittest has it since Python 3.11
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def trouble(self, call, *arguments, **named) -> Trouble:
        with self.assertRaises(Trouble) as caught:
            call(*arguments, **named)
        sentence = str(caught.exception)
        self.assertNotIn("\n", sentence)
        return caught.exception


class Fetch(Case):
    def setUp(self):
        super().setUp()
        Index.body = os.urandom(3 * fetch.CHUNK + 17)
        self.part = self.dir / "file.part"

    def fetch(self, pauses=None):
        fetch.fetch(f"{self.url}/file", self.part, len(Index.body), "file", pause=(pauses or []).append)

    def test_a_download_that_breaks_off_goes_on_where_it_stopped(self):
        Index.cuts = [fetch.CHUNK + 5, 7]
        self.fetch()
        self.assertEqual(self.part.read_bytes(), Index.body)
        self.assertEqual(Index.ranges, [None, f"bytes={fetch.CHUNK + 5}-", f"bytes={fetch.CHUNK + 12}-"])

    def test_a_partial_file_of_an_earlier_run_is_kept(self):
        self.part.write_bytes(Index.body[:1000])
        self.fetch()
        self.assertEqual(self.part.read_bytes(), Index.body)
        self.assertEqual(Index.ranges, ["bytes=1000-"])

    def test_a_server_without_ranges_sends_all_again(self):
        Index.knows_ranges = False
        self.part.write_bytes(b"x" * 1000)
        self.fetch()
        self.assertEqual(self.part.read_bytes(), Index.body)

    def test_a_partial_file_that_is_too_long_is_thrown_away(self):
        self.part.write_bytes(Index.body + b"more")
        self.fetch()
        self.assertEqual(self.part.read_bytes(), Index.body)
        self.assertEqual(Index.ranges, [None])

    def test_a_network_that_stays_away_is_one_sentence_and_the_part_stays(self):
        self.part.write_bytes(Index.body[: fetch.CHUNK])
        Index.cuts = [0] * 20
        pauses = []
        trouble = self.trouble(self.fetch, pauses)
        self.assertEqual(trouble.code, UNAVAILABLE)
        self.assertIn("1 of 3 MB are kept, run it again to go on", str(trouble))
        self.assertEqual(self.part.stat().st_size, fetch.CHUNK)
        self.assertEqual(pauses, sorted(pauses))
        self.assertEqual(len(Index.ranges), fetch.ATTEMPTS)

    def test_no_server_at_all_is_one_sentence(self):
        with mock.patch.object(self, "url", "http://127.0.0.1:1"):
            self.assertEqual(self.trouble(self.fetch).code, UNAVAILABLE)

    def test_a_wrong_hash_is_refused_and_the_file_removed(self):
        self.part.write_bytes(b"not it")
        trouble = self.trouble(fetch.check, self.part, "0" * 64, "torch==2.11.0")
        self.assertEqual(trouble.code, DATA)
        self.assertIn(hashlib.sha256(b"not it").hexdigest(), str(trouble))
        self.assertFalse(self.part.exists())


class Bring(Case):
    """The whole program, with a wheel of a few kilobytes."""

    def setUp(self):
        super().setUp()
        self.file = "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl"
        self.wheel = self.dir / self.file
        with zipfile.ZipFile(self.wheel, "w") as archive:
            for name, text in MEMBERS.items():
                archive.writestr(name, text)
        Index.body = self.wheel.read_bytes()
        self.sha256 = hashlib.sha256(Index.body).hexdigest()
        self.write_lock(self.sha256)
        (self.dir / "fake" / "pip").mkdir(parents=True)
        (self.dir / "fake" / "pip" / "__init__.py").write_text("")
        (self.dir / "fake" / "pip" / "__main__.py").write_text(FAKE_PIP)
        # A whole copy of the program, so that its own .libtorch is not the repository's.
        self.program = self.dir / "clone" / "contrib" / "dev" / "libtorch"
        shutil.copytree(get.HERE, self.program, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("cpu.txt", "cu130.txt"):
            shutil.copy(self.lock, self.program / name)
        self.link = self.dir / "clone" / ".libtorch"
        self.cache = self.dir / "cache" / "zimg"
        self.environment = {
            "PATH": "/nonexistent",
            "HOME": str(self.dir),
            "XDG_CACHE_HOME": str(self.dir / "cache"),
            "PYTHONPATH": str(self.dir / "fake"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_FAKE_URL": self.url,
            "PIP_FAKE_FILE": self.file,
            "PIP_FAKE_COPY": str(self.wheel),
        }

    def write_lock(self, sha256: str):
        self.lock = self.dir / "lock.txt"
        self.lock.write_text(f"# a comment\ntorch==2.11.0 --hash=sha256:{sha256}  # {self.file} {len(Index.body)}\n")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.program / "get.py"), *arguments]

    def run_it(self, *arguments: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            self.command(*arguments), env={**self.environment, **environment}, capture_output=True, text=True
        )
        self.assertEqual(done.stdout, "")
        return done.returncode, done.stderr

    def kept(self, cut: str) -> set[str]:
        home = self.cache / f"libtorch-2.11.0-{cut}"
        return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}

    def test_the_cpu_cut_is_brought_and_linked(self):
        code, said = self.run_it("--cpu")
        self.assertEqual((code, "Traceback" in said), (0, False), said)
        self.assertEqual(self.link.resolve(), self.cache / "libtorch-2.11.0-cpu" / "torch")
        dropped = {"torch/lib/libtorch_cuda.so", "torch/lib/libtorch_python.so", "torch/__init__.py", "nvidia/cu13/lib/libcublas.so.13"}
        self.assertEqual(self.kept("cpu"), set(MEMBERS) - dropped | {"torch/build-version"})
        self.assertTrue(os.access(self.link / "lib" / "libtorch_cpu.so", os.X_OK))
        self.assertEqual(list((self.cache / "downloads").iterdir()), [])

    def test_the_cuda_tree_keeps_every_library_but_pythons(self):
        self.assertEqual(self.run_it("--cuda")[0], 0)
        dropped = {"torch/lib/libtorch_python.so", "torch/__init__.py"}
        self.assertEqual(self.kept("cu130"), set(MEMBERS) - dropped | {"torch/build-version"})

    def test_a_second_run_makes_no_request(self):
        self.run_it("--cpu")
        asked = len(Index.ranges)
        self.assertEqual(self.run_it("--cpu", PIP_FAKE_ERROR="must not be asked")[0], 0)
        self.assertEqual(len(Index.ranges), asked)

    def test_two_at_once_bring_it_once(self):
        both = [
            subprocess.Popen(self.command("--cpu"), env=self.environment, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [process.communicate()[1] for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0], said)
        self.assertEqual(Index.ranges, [None])

    def test_an_interrupted_download_goes_on_in_the_next_run(self):
        downloads = self.cache / "downloads"
        downloads.mkdir(parents=True)
        (downloads / (self.file + ".part")).write_bytes(Index.body[:1234])
        self.assertEqual(self.run_it("--cpu")[0], 0)
        self.assertEqual(Index.ranges, ["bytes=1234-"])

    def test_what_an_interrupted_unpacking_left_is_cleared(self):
        stale = self.cache / "libtorch-2.11.0-cpu.new" / "torch" / "lib" / "stale.so"
        stale.parent.mkdir(parents=True)
        stale.write_text("")
        self.assertEqual(self.run_it("--cpu")[0], 0)
        self.assertNotIn("torch/lib/stale.so", self.kept("cpu"))

    def test_a_wheel_with_another_hash_is_refused(self):
        self.write_lock("0" * 64)
        shutil.copy(self.lock, self.program / "cpu.txt")
        code, said = self.run_it("--cpu")
        self.assertEqual(code, DATA, said)
        self.assertIn("is not the locked file", said.splitlines()[-1])
        self.assertFalse(os.path.lexists(self.link))
        self.assertEqual(list((self.cache / "downloads").iterdir()), [])

    def test_an_old_pip_downloads_itself(self):
        self.assertEqual(self.run_it("--cpu", PIP_FAKE_OLD="1")[0], 0)
        self.assertEqual(Index.ranges, [])

    def test_an_index_that_wants_a_password_is_left_to_pip(self):
        Index.status = 401
        self.assertEqual(self.run_it("--cpu")[0], 0)

    def test_pips_own_first_error_is_passed_on(self):
        code, said = self.run_it("--cpu", PIP_FAKE_ERROR="no route to the index")
        self.assertEqual(code, UNAVAILABLE)
        self.assertEqual(said.splitlines()[-1], "libtorch: pip cannot find what libtorch is made of: no route to the index")

    def test_an_index_that_does_not_answer_is_called_that(self):
        code, said = self.run_it("--cpu", PIP_FAKE_ERROR="Could not find torch==2.11.0 (from versions: none)")
        self.assertEqual(code, UNAVAILABLE)
        self.assertIn("is there a network", said.splitlines()[-1])

    def test_without_pip_and_venv_the_sentence_names_the_packages(self):
        broken = "import sys; sys.exit(1)"
        (self.dir / "fake" / "venv.py").write_text(broken)
        code, said = self.run_it("--cpu", PIP_FAKE_MISSING="1")
        self.assertEqual(code, UNAVAILABLE, said)
        self.assertIn("python3-pip or python3-venv", said.splitlines()[-1])

    def test_a_full_disk_is_said_before_anything_is_downloaded(self):
        nearly_full = mock.Mock(free=1_000_000)
        with mock.patch("get.shutil.disk_usage", return_value=nearly_full):
            trouble = self.trouble(get.need_space, self.dir, wheels.read_lock(self.lock), get.CPU)
        self.assertEqual(trouble.code, IO)
        self.assertIn("0.0 GB free and 0.5 GB are needed", str(trouble))

    def test_a_cache_that_cannot_be_written_is_one_sentence(self):
        (self.dir / "file").write_text("")
        code, said = self.run_it("--cpu", XDG_CACHE_HOME=str(self.dir / "file"))
        self.assertEqual(code, IO)
        self.assertIn("set XDG_CACHE_HOME to a place that can be written", said)

    def test_a_user_without_a_home_has_the_cache_in_the_repository(self):
        for home in ("", str(self.dir / "nowhere")):
            code, said = self.run_it("--cpu", XDG_CACHE_HOME="relative, so not used", HOME=home)
            self.assertEqual(code, 0, said)
            here = self.link.parent / ".cache" / "zimg" / "libtorch-2.11.0-cpu" / "torch"
            self.assertEqual(self.link.resolve(), here)

    def own(self, minor: int) -> Path:
        own = self.dir / f"own-{minor}"
        (own / "lib").mkdir(parents=True)
        (own / "lib" / "libtorch_cpu.so").write_text("")
        (own / "include" / "torch").mkdir(parents=True)
        (own / "include" / "torch" / "version.h").write_text(VERSION_H.format(minor))
        return own

    def test_a_libtorch_of_the_users_is_used_and_nothing_downloaded(self):
        own = self.own(11)
        code, said = self.run_it(LIBTORCH=str(own), PIP_FAKE_ERROR="must not be asked")
        self.assertEqual(code, 0, said)
        self.assertEqual(self.link.resolve(), own)
        # Cargo sets LIBTORCH to the link itself: the user has not chosen it.
        self.assertEqual(self.run_it(LIBTORCH=str(self.link), PIP_FAKE_ERROR="must not be asked")[0], 0)
        self.assertEqual(self.link.resolve(), own)

    def test_a_libtorch_of_another_version_is_refused(self):
        code, said = self.run_it(LIBTORCH=str(self.own(10)))
        self.assertEqual(code, CONFIG)
        self.assertIn("is libtorch 2.10.0, but 2.11.0 is needed", said)

    def test_a_libtorch_that_is_none_is_refused(self):
        code, said = self.run_it(LIBTORCH=str(self.dir))
        self.assertEqual(code, CONFIG)
        self.assertIn("has no lib/libtorch_cpu.so", said)

    def test_a_folder_in_the_links_place_is_not_touched(self):
        self.link.mkdir()
        code, said = self.run_it("--cpu")
        self.assertEqual(code, CONFIG, said)
        self.assertTrue(self.link.is_dir() and not self.link.is_symlink())


class Locks(unittest.TestCase):
    def test_the_committed_locks_are_read_whole_and_the_cpus_is_part_of_the_other(self):
        cpu, cuda = (wheels.read_lock(cut.lock) for cut in (get.CPU, get.CUDA))
        self.assertEqual((len(cpu), len(cuda)), (3, 15))
        self.assertLess(set(cpu), set(cuda))
        self.assertIn("manylinux_2_28_x86_64", cpu[0].platforms)

    def test_a_line_that_is_no_wheel_is_a_mistake(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("torch==2.11.0\n")
            file.flush()
            with self.assertRaises(ValueError):
                wheels.read_lock(Path(file.name))

    def test_members_outside_the_folders_are_never_kept(self):
        for cut in unpack.KEEP.values():
            self.assertIsNone(cut.fullmatch("../torch/lib/libc10.so"))


if __name__ == "__main__":
    unittest.main()
