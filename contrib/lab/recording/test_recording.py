"""The terminal in memory and the SVG by known bytes; the recording that is in docs; and a new one.

Run it after a build: python -m unittest discover --start-directory contrib/lab/recording
"""

from __future__ import annotations

import base64
import os
import re
import struct
import tempfile
import unittest
import zlib
from pathlib import Path
from xml.etree import ElementTree

import record
import svg
import tour
from shell import Shell
from terminal import Block, Run, Terminal

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
SVG = "{http://www.w3.org/2000/svg}"


def shown(data: bytes, columns: int = 12, rows: int = 4):
    terminal = Terminal(columns, rows)
    terminal.feed(data)
    return terminal.snapshot()


def pixels(image: bytes) -> list[bytes]:
    """The rows of a PNG as svg.png writes it."""
    width, height = struct.unpack(">II", image[16:24])
    at, data = 8, b""
    while at < len(image):
        length, kind = struct.unpack(">I4s", image[at:at + 8])
        body = image[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", image[at + 8 + length:at + 12 + length])[0]
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    raw = zlib.decompress(data)
    rows = [raw[row * (3 * width + 1):][:3 * width + 1] for row in range(height)]
    assert all(row[0] == 0 for row in rows)
    return [row[1:] for row in rows]


def words(document: str) -> str:
    """All text of an SVG."""
    return "\n".join(element.text or "" for element in ElementTree.fromstring(document).iter(f"{SVG}text"))


class KnownBytes(unittest.TestCase):
    def test_letters_keep_their_place_and_colour(self):
        lines = shown("a \x1b[1;31mred\x1b[0m \x1b[2mfaint\x1b[0m\r\n狐 x\x1b[41m  \x1b[0m  ".encode()).lines
        self.assertEqual(lines[0], (
            Run(0, 1, "a", None, None, False), Run(2, 3, "red", "#ff7b72", None, True),
            Run(6, 5, "faint", "#8b949e", None, False)))
        self.assertEqual(lines[1], (Run(0, 4, "狐 x", None, None, False), Run(4, 2, "  ", None, "#ff7b72", False)))
        self.assertEqual(lines[2], ())

    def test_half_blocks_are_an_image_of_their_pixels(self):
        cell = "\x1b[38;2;{};48;2;{}m▀"
        data = "".join(("x", cell.format("1;2;3", "4;5;6"), cell.format("7;8;9", "10;11;12"), "\x1b[0m\r\n ",
                        cell.format("2;2;2", "3;3;3"), "▀\x1b[0my"))
        seen = shown(data.encode())
        block = Block(1, 0, 2, (bytes([1, 2, 3, 7, 8, 9]), bytes([4, 5, 6, 10, 11, 12]),
                                bytes([2] * 6), bytes([3] * 6)))
        self.assertEqual(seen.blocks, (block,))
        self.assertEqual(pixels(svg.png(block)), list(block.pixels))
        self.assertEqual([run.text for line in seen.lines for run in line], ["x", "y"])

    def test_what_is_not_for_the_eye_is_not_shown(self):
        terminal = Terminal(20, 2)
        for part in (b"\x1b_Gi=1,a=q;AA", b"AA\x1b\\\x1bP$q", b"m\x1b\\\x1b[c", b"seen\x1b]133;A\x07"):
            terminal.feed(part)
        self.assertEqual(terminal.snapshot().lines[0], (Run(0, 4, "seen", None, None, False),))

    def test_a_film_shows_each_frame_at_its_time(self):
        frames = [(0.0, shown(b"")), (1.0, shown(b"one <&>")), (3.0, shown(b"one <&>\r\ntwo"))]
        document = svg.film((12, 4), frames, 1.0, "a film")
        self.assertEqual(words(document), "one <&>\ntwo", "each line is there once")
        stops = re.findall(r"([\d.]+)%\{transform:translateY\(-(\d+)px\)\}", document)
        self.assertEqual(stops, [("0.000", "0"), ("25.000", "72"), ("75.000", "144"), ("100", "144")])
        self.assertIn("animation:film 4.00s step-end infinite", document)
        strip = ElementTree.fromstring(document).findall(f".//{SVG}g[@class='film']/{SVG}svg")
        self.assertEqual([element.get("y") for element in strip], ["0", "72", "144"])
        self.assertEqual([len(element.findall(f"{SVG}use")) for element in strip], [0, 1, 2])

    def test_text_is_held_in_its_columns(self):
        line = ElementTree.fromstring(f'<g>{svg.line((Run(2, 5, "  abc", None, None, False),))}</g>')[0]
        self.assertEqual((line.text, line.get("x"), line.get("textLength")), ("abc", "36", "27"))


class Documents(unittest.TestCase):
    def test_the_recording_is_of_these_commands(self):
        file = ROOT / "docs/recording.svg"
        self.assertLess(file.stat().st_size, 400_000)
        text = words(file.read_text())
        for command in record.COMMANDS:
            self.assertIn(command, text, "run `make recording`")
        for seen in ("seed 7, ", "a hot-air balloon in the sky", "ready"):
            self.assertIn(seen, text)
        self.assertRegex(text, "step [1-8] of 8, [0-9.]+ s left")

    def test_the_tour_has_each_image_and_each_command(self):
        page = (ROOT / "docs/tour.md").read_text()
        folder = ROOT / "docs/tour"
        named = {image for scene in tour.SCENES for image in scene.images}
        named |= {f"{scene.still}.svg" for scene in tour.SCENES if scene.still}
        self.assertEqual({file.name for file in folder.iterdir()}, named, "run `make recording`")
        self.assertLess(sum(file.stat().st_size for file in folder.iterdir()), 600_000)
        for name in named:
            self.assertIn(f"(tour/{name})", page)
        for scene in tour.SCENES:
            for command in scene.commands:
                still = words((folder / f"{scene.still}.svg").read_text()) if scene.still else ""
                self.assertIn(command, page + still)


class Regenerated(unittest.TestCase):
    def test_the_programs_can_be_recorded(self):
        self.assertTrue((PROGRAMS / "zimg").exists(), f"zimg is not in {PROGRAMS}: build it first")
        with tempfile.TemporaryDirectory() as folder:
            shell = Shell(Path(folder), PROGRAMS, (60, 20))
            try:
                shell.run("zimaged --warmup 64x64 2> log &", pause=0)
                shell.run('zimg "a red circle" --size 64x64 --steps 2 --seed 1 --preview --show -o a.png', pause=0)
                shell.run("zimg show a.png", pause=0)
                self.assertTrue((Path(folder) / "a.png").exists(), shell.text())
            finally:
                shell.end()
        self.assertEqual(shell.answered, 1, "it asks what the terminal can")
        frames = shell.frames
        text = [tour.text(seen) for _, seen in frames]
        images = [seen.blocks for _, seen in frames if seen.blocks]
        self.assertTrue(any("step 1 of 2" in seen for seen in text), text[-1])
        self.assertGreaterEqual(len(set(images)), 2, "previews and the image")
        # 64x64 in a terminal of 20 rows, of which 4 are for text.
        last = max((block for seen in images for block in seen), key=lambda block: len(block.pixels))
        self.assertEqual((last.columns, len(last.pixels)), (32, 32))
        self.assertTrue(any("a red circle\nseed" in seen for seen in text), text[-1])
        # In colours: the names stand back.
        faint = Run(0, 6, "prompt", "#8b949e", None, False)
        self.assertTrue(any(faint in line for _, seen in frames for line in seen.lines))


if __name__ == "__main__":
    unittest.main()
