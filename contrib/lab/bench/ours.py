"""Ours: zimaged started, timed, asked and stopped, each on a private socket and with none of the user's settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Longer than any load or image should take.
TIMEOUT = 240


class DaemonFailed(Exception):
    """zimaged or a client of it did not do what it should; says why."""


def environment(libtorch: Path | None) -> dict[str, str]:
    """Nothing of the user's own configuration; `libtorch`: a folder with lib/, where the build's own is not meant."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZIMAGED_", "ZIMG_"))}
    if libtorch:
        kept["LD_LIBRARY_PATH"] = f"{libtorch / 'lib'}:{kept.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    return kept


class Programs:
    """Where the programs are: `latency` may lie beside the others or in examples/, where cargo puts it."""

    def __init__(self, folder: Path, libtorch: Path | None) -> None:
        self.environment = environment(libtorch)
        self.zimaged, self.zimg = folder / "zimaged", folder / "zimg"
        names = ("latency", "latents", "replay")
        self.latency, self.latents, self.replay = (self.example(folder, name) for name in names)
        for program in (self.zimaged, self.zimg, self.latency):
            if not program.exists():
                raise DaemonFailed(f"{program} does not exist: build it with `cargo build --release` first")

    @staticmethod
    def example(folder: Path, name: str) -> Path:
        beside = folder / name
        return beside if beside.exists() else folder / "examples" / name


class Daemon:
    """A running zimaged. `ready_s`: seconds from its exec to READY, as it tells the service manager."""

    def __init__(self, programs: Programs, options: list[str]) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="zimg-bench-"))
        self.socket = self.folder / "zimaged.sock"
        (self.folder / "zimaged.toml").touch()
        self.log = self.folder / "log"
        command = [programs.zimaged, "--config", self.folder / "zimaged.toml", "--socket", self.socket]
        command += ["--state-dir", "off", *options]
        self.process: subprocess.Popen | None = None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices, open(self.log, "wb") as log:
            notices.bind(str(self.folder / "notify"))
            told = programs.environment | {"NOTIFY_SOCKET": str(self.folder / "notify")}
            began = time.perf_counter()
            try:
                self.process = subprocess.Popen(command, env=told, stdout=log, stderr=log)
                self.wait_ready(notices, began)
                self.ready_s = time.perf_counter() - began
                # READY also means "will answer with a failure".
                state = self.status()["worker"]["state"]
                if state not in ("ready", "busy"):
                    raise DaemonFailed(f"zimaged is not ready but {state}: {self.last_words()}")
            except BaseException:
                self.stop()
                raise

    def wait_ready(self, notices: socket.socket, began: float) -> None:
        notices.settimeout(0.2)
        while True:
            try:
                if b"READY=1" in notices.recv(4096).split(b"\n"):
                    return
            except socket.timeout:
                pass
            if self.process.poll() is not None:
                raise DaemonFailed(f"zimaged ended with {self.process.returncode}: {self.last_words()}")
            if time.perf_counter() - began > TIMEOUT:
                raise DaemonFailed(f"zimaged is not ready after {TIMEOUT} s: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        # A wrong option is said first, and how to get help last.
        wrong = next((line for line in lines if line.startswith("error:")), None)
        return wrong or (lines[-1] if lines else "its log is empty")

    def stop(self) -> None:
        """Ends it and waits: afterwards its memory is free."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, command: list) -> str:
        """A client's standard output."""
        ran = subprocess.run([str(word) for word in command], env=self.programs.environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
        if ran.returncode != 0:
            said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
            raise DaemonFailed(f"{Path(command[0]).name} ended with {ran.returncode}: {said[-1] if said else 'no word'}")
        return ran.stdout

    def status(self) -> dict:
        return json.loads(self.run([self.programs.zimg, "--socket", self.socket, "status", "--json"]).splitlines()[-1])

    def draw(self, prompts: list[str], size: str, steps: int, count: int = 1, clients: int = 1, seed: int = 1) -> list[dict]:
        """Images through the latency client: its lines, in milliseconds."""
        command = [self.programs.latency, "--socket", self.socket, "--size", size, "--steps", steps, "--count", count,
                   "--clients", clients, "--seed", seed]
        for prompt in prompts:
            command += ["--prompt", prompt]
        return [json.loads(line) for line in self.run(command).splitlines()]

    def zimg_ms(self, prompt: str, size: str, steps: int, out: Path) -> tuple[float, float]:
        """The wall clock of a whole `zimg` that writes an image, and the daemon's part of it, in milliseconds."""
        command = [self.programs.zimg, "draw", prompt, "--socket", self.socket, "--json", "--force", "--seed", 1,
                   "--size", size, "--steps", steps, "-o", out]
        began = time.perf_counter()
        lines = self.run(command).splitlines()
        wall = (time.perf_counter() - began) * 1e3
        done = next(event for event in map(json.loads, lines) if event["event"] == "done")
        return wall, done["ms"]["total"]
