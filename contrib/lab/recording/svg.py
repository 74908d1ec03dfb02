"""Snapshots of a terminal as SVG: one, or many that play by themselves. Text stays text, images are PNG inside."""

from __future__ import annotations

import base64
import struct
import zlib
from xml.sax.saxutils import escape

from terminal import Block, Run, Snapshot

# A cell's width and height in SVG's units, and what is left around the screen.
CELL = (9, 18)
MARGIN = 14
GROUND, TEXT, CURSOR = "#0d1117", "#e6edf3", "#8b949e"
STYLE = (
    "text{font:15px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "white-space:pre}image{image-rendering:pixelated}"
)


def png(block: Block) -> bytes:
    """The block's pixels as a PNG of that many pixels."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    raw = b"".join(b"\0" + row for row in block.pixels)
    head = struct.pack(">IIBBBBB", block.columns, len(block.pixels), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def line(runs: tuple[Run, ...]) -> str:
    """A line of text, to be put at its row."""
    wide, high = CELL
    parts = []
    for run in runs:
        x, length = run.column * wide, run.columns * wide
        if run.ground:
            parts.append(f'<rect x="{x}" width="{length}" height="{high}" fill="{run.ground}"/>')
        if not run.text.strip():
            continue
        # The length holds the letters in their columns, whatever font there is.
        look = f' fill="{run.colour}"' if run.colour else ""
        look += ' font-weight="bold"' if run.bold else ""
        # SVG ends a text at its last letter: blanks before the first one are room.
        first = len(run.text) - len(run.text.lstrip(" "))
        x, length = x + first * wide, length - first * wide
        parts.append(f'<text x="{x}" y="14" textLength="{length}"{look}>{escape(run.text[first:])}</text>')
    return "".join(parts)


def image(block: Block) -> str:
    """An image, to be put at its row."""
    wide, high = CELL
    data = base64.b64encode(png(block)).decode()
    return (f'<image x="{block.column * wide}" width="{block.columns * wide}" height="{len(block.pixels) * high // 2}" '
            f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>')


class Parts:
    """What frames are made of, each once."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def use(self, part: str, row: int) -> str:
        name = self.names.setdefault(part, f"{len(self.names):x}")
        at = f' y="{row * CELL[1]}"' if row else ""
        return f'<use href="#_{name}"{at}/>'

    def frame(self, shown: Snapshot) -> str:
        """All of a snapshot by its parts."""
        wide, high = CELL
        parts = [self.use(line(runs), row) for row, runs in enumerate(shown.lines) if runs]
        parts += [self.use(image(block), block.row) for block in shown.blocks]
        if shown.cursor:
            x, y = shown.cursor
            parts.append(f'<rect x="{x * wide}" y="{y * high}" width="{wide}" height="{high}" fill="{CURSOR}"/>')
        return "".join(parts)

    def defined(self) -> str:
        return "<defs>" + "".join(f'<g id="_{name}">{part}</g>' for part, name in self.names.items()) + "</defs>"


def document(size: tuple[int, int], title: str, style: str, body: str) -> str:
    """An SVG of a screen of so many columns and rows."""
    width, height = size[0] * CELL[0], size[1] * CELL[1]
    full = (width + 2 * MARGIN, height + 2 * MARGIN)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full[0]} {full[1]}" width="{full[0]}" '
            f'height="{full[1]}" role="img"><title>{escape(title)}</title><style>{STYLE}{style}</style>'
            f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>'
            f'<svg x="{MARGIN}" y="{MARGIN}" width="{width}" height="{height}" fill="{TEXT}">{body}</svg></svg>\n')


def still(size: tuple[int, int], shown: Snapshot, title: str) -> str:
    """One snapshot."""
    parts = Parts()
    frame = parts.frame(shown)
    return document(size, title, "", parts.defined() + frame)


def film(size: tuple[int, int], frames: list[tuple[float, Snapshot]], hold: float, title: str) -> str:
    """Snapshots with the seconds at which they come, one below the other on a strip that moves; the last one stays
    for `hold` seconds, and is all there is where nothing moves."""
    parts = Parts()
    height = size[1] * CELL[1]
    strip, stops = [], []
    length = frames[-1][0] + hold
    for number, (at, shown) in enumerate(frames):
        strip.append(f'<svg y="{number * height}">{parts.frame(shown)}</svg>')
        stops.append(f"{100 * at / length:.3f}%{{transform:translateY(-{number * height}px)}}")
    last = f"transform:translateY(-{(len(frames) - 1) * height}px)"
    style = (f"@keyframes film{{{''.join(stops)}100%{{{last}}}}}"
             f".film{{{last};animation:film {length:.2f}s step-end infinite}}"
             "@media (prefers-reduced-motion:reduce){.film{animation:none}}")
    return document(size, title, style, f'{parts.defined()}<g class="film">{"".join(strip)}</g>')
