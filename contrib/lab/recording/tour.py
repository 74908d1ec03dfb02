"""Draws the images of docs/tour.md with the built-in model, and photographs the terminal while it does.

usage: tour.py PROGRAMS docs/tour   PROGRAMS is the folder of zimg and zimaged
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import svg
from shell import Shell
from terminal import Snapshot

SIZE = (80, 24)
PROMPTS = "a red star on a white background\na boat with a red sail at sunset\na snowman in the snow\n"


@dataclass(frozen=True)
class Scene:
    """Commands that are typed into an empty terminal; a still named `still` of the end, or of the last moment at which
    an image was seen and `moment`, a pattern, could be read. `images` are kept."""

    commands: tuple[str, ...]
    still: str | None = None
    moment: str | None = None
    images: tuple[str, ...] = ()


SCENES = [
    Scene(('zimg "a lighthouse by the sea" --seed 3 -o lighthouse.webp',), images=("lighthouse.webp",)),
    Scene(('zimg "a red fox in the snow" --seed 7 --preview',), "preview", "step [2-6] of 8"),
    Scene(("zimg \"a red fox in the snow\" -n 4 --seed 7 --grid=foxes.webp --quality 85 -o 'fox-{seed}.webp'",),
          images=("foxes.webp",)),
    Scene(('zimg redo lighthouse.webp --prompt "a lighthouse at night" -o night.webp', "zimg show night.webp"),
          "redo", images=("night.webp",)),
    Scene(('zimg "a fox" --size 500x300', 'zimg "a fox" -o lighthouse.webp', 'zimg "a fox" --stesp 4'), "mistakes"),
    Scene(("zimg --batch prompts.txt --seed 1 -o '{index}-{prompt:12}.webp'", "ls *-a-*.webp",
           "zimg --batch prompts.txt --seed 1 -o '{index}-{prompt:12}.webp'"), "batch"),
    Scene(('job=$(zimg "mountains with snow" -n 2 --seed 5 --detach)', "zimg jobs",
           "zimg wait $job -o 'mountains-{seed}.webp'"), "detached"),
]


def text(shown: Snapshot) -> str:
    """What can be read."""
    return "\n".join("".join(run.text for run in line) for line in shown.lines)


def cut(shown: Snapshot) -> tuple[int, Snapshot]:
    """As many lines as there is something in, and the snapshot of them."""
    filled = [row + 1 for row, line in enumerate(shown.lines) if line]
    filled += [block.row + len(block.pixels) // 2 for block in shown.blocks]
    rows = max(filled, default=1)
    return rows, Snapshot(shown.lines[:rows], shown.blocks, None)


def photograph(shell: Shell, scene: Scene) -> Snapshot:
    """Plays the scene, and gives back the moment that it is about."""
    shell.run("clear", pause=0)
    before = time.monotonic() - shell.began
    for command in scene.commands:
        shell.run(command, pause=0.2)
    frames = [shown for at, shown in shell.frames if at > before]
    if not scene.moment:
        shown = frames[-1]
        # The prompt that waits is no part of it.
        return Snapshot(shown.lines[:-1] if not shown.cursor else
                        tuple(() if row == shown.cursor[1] else line for row, line in enumerate(shown.lines)),
                        shown.blocks, None)
    found = [shown for shown in frames if shown.blocks and re.search(scene.moment, text(shown))]
    if not found:
        raise LookupError(f"{scene.moment!r} was not seen with an image; the screen:\n{shell.text()}")
    return found[-1]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    programs, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as state:
        folder = Path(name)
        (folder / "prompts.txt").write_text(PROMPTS)
        shell = Shell(folder, programs, SIZE, Path(state))
        try:
            shell.run("zimaged 2> zimaged.log &", pause=0)
            for scene in SCENES:
                shown = photograph(shell, scene)
                if scene.still:
                    rows, shown = cut(shown)
                    title = "In a terminal: " + " · ".join(scene.commands)
                    (out / f"{scene.still}.svg").write_text(svg.still((SIZE[0], rows), shown, title))
                for image in scene.images:
                    shutil.copy(folder / image, out)
        finally:
            shell.end()
    print(f"{out}: {sum(file.stat().st_size for file in out.iterdir()) >> 10} KiB")


if __name__ == "__main__":
    main()
