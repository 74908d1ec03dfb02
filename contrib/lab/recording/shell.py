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
# The question what the terminal is, and the answer: a simple one.
QUESTION, ANSWER = b"\x1b[c", b"\x1b[?6c"
# What is written between these is shown at once.
BEGIN, END = b"\x1b[?2026h", b"\x1b[?2026l"
# Seconds between letters, between commands, and within which what is written is one change.
LETTER, PAUSE, SETTLED = 0.03, 0.9, 0.01
# Seconds that a command may take.
TIMEOUT = 300


class Shell:
    """bash with nothing of the user's, in `folder`; a daemon keeps detached jobs in `state`. What is written is only
    kept while it comes, and understood when `frames` are asked for, so that nothing waits for this program."""

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
        self.began = time.monotonic()
        self.written: list[tuple[float, bytes]] = []
        self.ready = self.answered = 0
        self.tail = b""
        self.until_ready(0)

    def take(self) -> bool:
        """Keeps what was written; false once the shell has gone."""
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:
            data = b""
        self.written.append((time.monotonic() - self.began, data))
        # What matters may come in two parts.
        known, self.tail = self.tail + data, (self.tail + data)[-(len(READY) - 1):]
        self.ready += known.count(READY)
        if QUESTION in known and QUESTION not in known[:len(known) - len(data)]:
            self.answered += 1
            os.write(self.master, ANSWER)
        return bool(data)

    def listen(self, seconds: float) -> bool:
        """Takes what comes in the next seconds; false once the shell has gone."""
        until = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0.0, until - time.monotonic()))[0]:
            if not self.take():
                return False
        return True

    @property
    def frames(self) -> list[tuple[float, Snapshot]]:
        """What was seen, each time that it changed, with the seconds since the start."""
        terminal = Terminal(*self.size)
        frames: list[tuple[float, Snapshot]] = []

        def look(at: float) -> None:
            shown = terminal.snapshot()
            if not frames or frames[-1][1] != shown:
                frames.append((at, shown))

        tail, held = b"", False
        for number, (at, data) in enumerate(self.written):
            *whole, rest = data.split(END)
            for part in whole:
                terminal.feed(part + END)
                look(at)
            terminal.feed(rest)
            known, tail = tail + data, (tail + data)[-len(BEGIN):]
            if BEGIN in known or END in known:
                held = known.rfind(BEGIN) > known.rfind(END)
            later = self.written[number + 1:number + 2]
            if not held and not (later and later[0][0] - at < SETTLED):
                look(at)
        return frames

    def until_ready(self, before: int) -> None:
        """Listens until the shell waits for a command again."""
        until = time.monotonic() + TIMEOUT
        while self.ready <= before:
            gone = not self.listen(0.05)
            if gone or time.monotonic() > until:
                raise ChildProcessError(f"the shell {'has gone' if gone else 'hangs'}; the screen:\n{self.text()}")

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
        """What is seen now, as text."""
        terminal = Terminal(*self.size)
        terminal.feed(b"".join(data for _, data in self.written))
        return "\n".join(terminal.screen.display).rstrip()

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
