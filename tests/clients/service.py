"""A daemon with the built-in model or the mock worker and zimg-web before it, and the cases that start them."""

from __future__ import annotations

import grp
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")) / "debug"
# A test that waits longer than this for anything has failed.
TIMEOUT = 60.0


def wait_until(what: str, holds: Any, timeout: float = TIMEOUT) -> Any:
    """Asks again and again until the answer is true, and returns it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.005)
    raise TimeoutError(what)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Daemon:
    """zimaged. `mock` is a script of the mock worker (tests/src/bin/mock-worker/script.rs)."""

    def __init__(self, mock: str | None = None, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zimg-clients-"))
        self.socket = self.folder / "run" / "zimaged.sock"
        (self.folder / "zimaged.toml").touch()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZIMAGED_", "ZIMG_"))}
        environment |= {"HOME": str(self.folder), "ZIMAGED_STATE_DIR": str(self.folder / "state")}
        # Front ends of this group may ask for other users.
        environment["ZIMAGED_TRUSTED_GROUP"] = grp.getgrgid(os.getgid()).gr_name
        environment |= {f"ZIMAGED_{name.upper()}": value for name, value in settings.items()}
        command = [BUILT / "zimaged", "--config", self.folder / "zimaged.toml", "--socket", self.socket]
        if mock is None:
            command += ["--model", "tiny", "--device", "cpu"]
        else:
            command += ["--worker", self.mock_worker(mock)]
        self.log = (self.folder / "zimaged.log").open("wb")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        self.environment = environment

    def mock_worker(self, script: str) -> Path:
        path = self.folder / "worker"
        path.write_text(
            "#!/bin/sh\n"
            f"export ZIMG_MOCK='{script}' ZIMG_MOCK_GATE='{self.folder}/gate'\n"
            f"exec '{BUILT}/mock-worker' \"$@\"\n"
        )
        path.chmod(0o755)
        return path

    def open_gate(self) -> None:
        """What the mock worker holds goes on."""
        (self.folder / "gate").touch()

    def zimg(self, *words: str) -> str:
        command = [BUILT / "zimg", *words, "--socket", self.socket]
        done = subprocess.run(command, env=self.environment, capture_output=True, timeout=TIMEOUT, check=True)
        return done.stdout.decode()

    def status(self) -> dict[str, Any]:
        return json.loads(self.zimg("status", "--json"))

    def jobs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.zimg("jobs", "--json").splitlines()]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Front:
    """zimg-web before a daemon; with `users`, each has a key."""

    def __init__(self, daemon: Daemon, *options: str, users: tuple[str, ...] = ()) -> None:
        self.daemon = daemon
        self.folder = Path(tempfile.mkdtemp(prefix="zimg-clients-"))
        self.keys: dict[str, str] = {}
        command = [BUILT / "zimg-web", "--socket", daemon.socket, "--state-dir", self.folder / "state"]
        if users:
            file = self.folder / "keys"
            file.touch(mode=0o600)
            for user in users:
                made = [BUILT / "zimg-web", "--keys", file, "--new-key", user]
                said = subprocess.run(made, capture_output=True, timeout=TIMEOUT, check=True).stdout.decode()
                self.keys[user] = re.findall(r"\S+", said)[-1]
            command += ["--keys", file]
        self.port = free_port()
        self.command = [*command, "--listen", f"127.0.0.1:{self.port}", *options]
        self.log = (self.folder / "log").open("wb")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, env=self.daemon.environment, stdout=self.log, stderr=self.log)
        wait_until("zimg-web is ready", self.is_ready)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            if self.process.poll() is not None:
                raise RuntimeError(f"zimg-web has ended: {self.said()}") from None
            return False

    def said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class FrontCase(unittest.TestCase):
    """A case whose tests start what they need."""

    daemon: Daemon
    front: Front

    def start(self, mock: str | None = None, *options: str, users: tuple[str, ...] = (), **settings: str) -> None:
        """A daemon and a front, which end with the test: as `Daemon` and `Front` have them."""
        self.daemon = Daemon(mock, **settings)
        self.addCleanup(self.daemon.stop)
        self.front = Front(self.daemon, *options, users=users)
        self.addCleanup(self.front.stop)


class BuiltInModelCase(unittest.TestCase):
    """A case whose tests share a daemon with the built-in model, and a front without keys."""

    daemon: Daemon
    front: Front

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.stop)
        cls.front = Front(cls.daemon)
        cls.addClassCleanup(cls.front.stop)
