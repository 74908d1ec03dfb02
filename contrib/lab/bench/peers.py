"""A variant of diffusers in a process of its own (`peer.py`), spoken to in lines of JSON: its crash ends nothing else."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

PROGRAM = Path(__file__).with_name("peer.py")


class PeerFailed(Exception):
    """The peer cannot do this; says why."""


class Peer:
    """A running variant. `loaded_s`: seconds from its exec until the model is on the device; `facts`: what it said of
    itself then."""

    def __init__(self, variant: str, checkpoint: Path, log: Path, options: list[str], timeout: float = 240,
                 program: Path = PROGRAM) -> None:
        self.variant, self.timeout, self.log = variant, timeout, log
        command = [sys.executable, program, variant, checkpoint, *options]
        began = time.perf_counter()
        with open(log, "ab") as errors:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            self.facts = self.answer()
        except BaseException:
            self.stop()
            raise
        self.loaded_s = time.perf_counter() - began
        self.began = began

    def answer(self) -> dict:
        """The next line. A peer that hangs is killed, so that the run goes on."""
        timer = threading.Timer(self.timeout, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            self.process.wait()
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise PeerFailed(f"{self.variant} died ({self.process.returncode}): {lines[-1][:300] if lines else 'no word'}")
        said = json.loads(line)
        if "error" in said:
            raise PeerFailed(f"{self.variant}: {said['error'][:300]}")
        return said

    def ask(self, what: str, **details: object) -> dict:
        """One request and its answer."""
        try:
            self.process.stdin.write(json.dumps({"do": what, **details}) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise PeerFailed(f"{self.variant} is gone: {error}") from error
        return self.answer()

    def draw(self, prompts: list[str], size: str, steps: int, seed: int = 1) -> list[float]:
        """Milliseconds for an image of each prompt, from the call to the finished PIL image."""
        width, height = map(int, size.split("x"))
        return self.ask("draw", prompts=prompts, width=width, height=height, steps=steps, seed=seed)["ms"]

    def stop(self) -> None:
        """Ends it and waits: afterwards its memory is free."""
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
                self.process.wait(30)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):  # What it never read.
            self.process.stdin.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
