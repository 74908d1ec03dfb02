"""Records zimg in a terminal with the built-in model: real programs in a real shell, nothing made up.

usage: record.py PROGRAMS OUT.svg   PROGRAMS is the folder of zimg and zimaged
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import svg
from shell import Shell
from terminal import Snapshot

SIZE = (84, 32)
# Seconds for which the last screen stays before it begins again.
HOLD = 5.0
TITLE = "zimg in a terminal: an image as it comes to be, how it was made, and how the service is"
COMMANDS = [
    "zimaged 2> zimaged.log &",
    'zimg "a hot-air balloon in the sky" --seed 7 --preview --show -o balloon.png',
    "zimg show balloon.png",
    "zimg status",
]


def record(programs: Path, folder: Path) -> list[tuple[float, Snapshot]]:
    """Types all commands, and gives back what was seen and when."""
    shell = Shell(folder, programs, SIZE)
    try:
        for command in COMMANDS:
            shell.run(command)
        return shell.frames
    finally:
        shell.end()


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    programs, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        frames = record(programs, Path(folder))
    out.write_text(svg.film(SIZE, frames, HOLD, TITLE))
    print(f"{out}: {len(frames)} frames in {frames[-1][0] + HOLD:.0f} s, {out.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
