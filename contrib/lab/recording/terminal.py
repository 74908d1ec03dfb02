"""A terminal in memory: bytes that programs write in, what a person would see out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyte

# What a terminal does not show: kitty's graphics and device control, which this one does not know.
APPLICATION = re.compile(rb"\x1b[_P].*?\x1b\\", re.DOTALL)
NAMED = {
    "black": "#484f58", "red": "#ff7b72", "green": "#3fb950", "brown": "#d29922", "blue": "#58a6ff",
    "magenta": "#bc8cff", "cyan": "#39c5cf", "white": "#b1bac4", "brightblack": "#8b949e",
    "brightred": "#ffa198", "brightgreen": "#56d364", "brightbrown": "#e3b341", "brightblue": "#79c0ff",
    "brightmagenta": "#d2a8ff", "brightcyan": "#56d4dd", "brightwhite": "#ffffff",
}
HALF = "▀"


@dataclass(frozen=True)
class Run:
    """Letters of one look beside each other; their first column and how many columns they take."""

    column: int
    columns: int
    text: str
    colour: str | None
    ground: str | None
    bold: bool


@dataclass(frozen=True)
class Block:
    """An image in half blocks: its place in cells, and rows of RGB pixels, two to a row of cells."""

    column: int
    row: int
    columns: int
    pixels: tuple[bytes, ...]


@dataclass(frozen=True)
class Snapshot:
    """All of the screen: lines of runs, images, and the cursor's column and row unless it is hidden."""

    lines: tuple[tuple[Run, ...], ...]
    blocks: tuple[Block, ...]
    cursor: tuple[int, int] | None


class Screen(pyte.Screen):
    """pyte's, which knows no faint letters: they are shown in grey."""

    def select_graphic_rendition(self, *codes: int) -> None:
        # In 38;2;R;G;B and 38;5;N a 2 is no attribute.
        faint = not {38, 48} & set(codes)
        super().select_graphic_rendition(*(90 if faint and code == 2 else code for code in codes))


class Terminal:
    """Takes bytes, and shows what they say."""

    def __init__(self, columns: int, rows: int) -> None:
        self.screen = Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.held = b""

    def feed(self, data: bytes) -> None:
        """Obeys the bytes; what is not whole yet waits for the rest."""
        data = APPLICATION.sub(b"", self.held + data)
        at = max(data.rfind(b"\x1b_"), data.rfind(b"\x1bP"))
        self.held = data[at:] if at >= 0 else b""
        self.stream.feed(data[:at] if at >= 0 else data)

    def snapshot(self) -> Snapshot:
        """What is seen now."""
        screen = self.screen
        lines, halves = [], []
        for row in range(screen.lines):
            cells = [screen.buffer[row][column] for column in range(screen.columns)]
            lines.append(tuple(runs(cells)))
            halves += [(row, *found) for found in pixels(cells)]
        cursor = None if screen.cursor.hidden else (screen.cursor.x, screen.cursor.y)
        return Snapshot(tuple(lines), tuple(joined(halves)), cursor)


def colour(name: str) -> str | None:
    """As SVG names it; none is the terminal's own."""
    if name == "default":
        return None
    return NAMED.get(name) or f"#{name}"


def runs(cells: list) -> list[Run]:
    """A line's letters but for half blocks; blanks only where they have a colour."""
    found: list[Run] = []
    for column, cell in enumerate(cells):
        fore, ground = colour(cell.fg), colour(cell.bg)
        if cell.reverse:
            fore, ground = ground or "#0d1117", fore or "#e6edf3"
        # The second column of a wide letter is empty.
        if cell.data == "" and found:
            found[-1] = replaced(found[-1], found[-1].columns + 1, found[-1].text)
            continue
        if cell.data == HALF and ground:
            continue
        last = found[-1] if found else None
        if last and last.column + last.columns == column and (last.colour, last.ground, last.bold) == (
                fore, ground, cell.bold):
            found[-1] = replaced(last, last.columns + 1, last.text + cell.data)
        else:
            found.append(Run(column, 1, cell.data, fore, ground, cell.bold))
    trimmed = []
    for run in found:
        text = run.text if run.ground else run.text.rstrip(" ")
        if text:
            trimmed.append(replaced(run, run.columns - len(run.text) + len(text), text))
    return trimmed


def replaced(run: Run, columns: int, text: str) -> Run:
    return Run(run.column, columns, text, run.colour, run.ground, run.bold)


def pixels(cells: list) -> list[tuple[int, int, bytes, bytes]]:
    """Half blocks beside each other: first column, how many, the upper pixels and the lower ones."""
    found = []
    for column, cell in enumerate(cells):
        if cell.data != HALF or not colour(cell.bg):
            continue
        upper, lower = (bytes.fromhex((colour(name) or "#e6edf3")[1:]) for name in (cell.fg, cell.bg))
        if found and found[-1][0] + found[-1][1] == column:
            first, count, above, below = found[-1]
            found[-1] = (first, count + 1, above + upper, below + lower)
        else:
            found.append((column, 1, upper, lower))
    return found


def joined(halves: list[tuple[int, int, int, bytes, bytes]]) -> list[Block]:
    """Rows of half blocks that stand below each other are one image."""
    blocks: list[Block] = []
    for row, column, columns, upper, lower in halves:
        for at, block in enumerate(blocks):
            if (block.column, block.columns, block.row + len(block.pixels) // 2) == (column, columns, row):
                blocks[at] = Block(column, block.row, columns, block.pixels + (upper, lower))
                break
        else:
            blocks.append(Block(column, row, columns, (upper, lower)))
    return blocks
