"""A real shell in a pseudo-terminal, typed into like a person, and what its terminal shows over time."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from svg import CELL
from terminal import Snapshot, Terminal

# The shell says with it that it waits for a command; no terminal shows it.
READY = b"\x1b]133;A\x07"
# Seconds between letters, between commands, and until what is written is taken for one change.
LETTER, PAUSE, SETTLED = 0.045, 1.2, 0.02
# Seconds that a command may take.
PATIENCE = 300


class Shell:
    """bash with nothing of the user's, in `folder`; `frames` has what was seen, with the seconds since the start.
    A daemon keeps detached jobs in `state`."""

    def __init__(self, folder: Path, programs: Path, size: tuple[int, int], state: Path | None = None) -> None:
        self.folder, self.size = folder, size
        self.master, slave = os.openpty()
        columns, rows = size
        window = struct.pack("HHHH", rows, columns, columns * CELL[0], rows * CELL[1])
        fcntl.ioctl(slave, termios.TIOCSWINSZ, window)
        environment = {
            "HOME": str(folder), "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "xterm-256color",
            "COLORTERM": "truecolor", "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": str(folder), "HISTFILE": "",
            "ZIMG_SOCKET": str(folder / "socket"), "ZIMAGED_SOCKET": str(folder / "socket"), "ZIMG_CONFIG": "",
            "ZIMAGED_STATE_DIR": str(state) if state else "off", "PS1": r"\[\e]133;A\a\]\[\e[32m\]$\[\e[0m\] ",
        }
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"], cwd=folder, env=environment, stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.terminal = Terminal(columns, rows, lambda text: os.write(self.master, text.encode()))
        self.began = time.monotonic()
        self.frames: list[tuple[float, Snapshot]] = []
        self.ready = 0
        self.tail = b""
        self.until_ready(0)

    def look(self) -> None:
        """Keeps what is seen now, if it has changed."""
        shown = self.terminal.snapshot()
        if not self.frames or self.frames[-1][1] != shown:
            self.frames.append((time.monotonic() - self.began, shown))

    def listen(self, seconds: float) -> bool:
        """Takes what comes in the next seconds, at least until it rests; false once the shell has gone."""
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            if not select.select([self.master], [], [], left)[0]:
                return True
            # What is written in one go is one change, however many reads it takes.
            while select.select([self.master], [], [], SETTLED)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    data = b""
                if not data:
                    self.look()
                    return False
                found = (self.tail + data).count(READY)
                self.tail = (self.tail + data)[-(len(READY) - 1):]
                self.ready += found
                self.terminal.feed(data)
            self.look()

    def until_ready(self, before: int) -> None:
        """Listens until the shell waits for a command again."""
        until = time.monotonic() + PATIENCE
        while self.ready <= before:
            if time.monotonic() > until:
                raise TimeoutError("the shell did not come back; the screen:\n" + self.text())
            if not self.listen(0.05):
                raise ChildProcessError("the shell has gone; the screen:\n" + self.text())

    def run(self, command: str, pause: float = PAUSE) -> None:
        """Types a command, waits for its end, and rests a while so that it can be read."""
        before = self.ready
        for letter in command:
            os.write(self.master, letter.encode())
            self.listen(LETTER)
        self.listen(0.3)
        os.write(self.master, b"\r")
        self.until_ready(before)
        self.listen(pause)

    def text(self) -> str:
        """What is seen, as text."""
        return "\n".join(self.terminal.screen.display).rstrip()

    def end(self) -> None:
        """Ends the shell and what runs in it."""
        if self.process.poll() is None:
            # The terminal throws away what is typed before it has taken the interrupt.
            os.write(self.master, b"\x03")
            self.listen(0.3)
            os.write(self.master, b"kill $(jobs -p) 2>/dev/null; wait; exit\r")
            until = time.monotonic() + 30
            while time.monotonic() < until and self.listen(0.1):
                pass
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
