"""Whether zimg.py reads and writes the protocol's own bytes, and PNGs that are some.

Against a real daemon it is tried by tests/tests/functional/python_client.rs.
"""

from __future__ import annotations

import struct
import tempfile
import unittest
import zlib
from pathlib import Path

import zimg

TOP = Path(__file__).resolve().parents[3]
GOLDEN = TOP / "crates/zimg-protocol/tests/golden/v2.txt"


def golden(beginning: str) -> dict[str, bytes]:
    lines = (line.split(" ") for line in GOLDEN.read_text().splitlines() if line.startswith(beginning))
    return {name.removeprefix(beginning): bytes.fromhex(text) for name, text in lines}


class BytesTest(unittest.TestCase):
    def test_every_event_is_read_to_its_end_or_known_to_be_another_ones(self) -> None:
        unread = set()
        for name, frame in golden("Event::").items():
            self.assertEqual(frame[0], zimg.EVENTS, name)
            try:
                event, end = zimg.read("EVENT", frame[1:])
            except (AttributeError, IndexError):
                unread.add(name)
                continue
            self.assertEqual(end, len(frame) - 1, name)
            self.assertEqual(event["name"], name.split("(")[0])
        self.assertEqual(unread, {"Preview", "Jobs", "Overview", "Asked", "Setup", "MemoryPlans", "Expiries", "Loras"})

    def test_what_is_read_is_what_was_said(self) -> None:
        events = golden("Event::")
        image, _ = zimg.read("EVENT", events["Image"][1:])
        self.assertEqual(image, {"name": "Image", "index": 1, "seed": 43, "width": 256, "height": 128, "bytes": 98304})
        status = zimg.read("EVENT", events["Status(Restarting)"][1:])[0]["status"]
        (worker,) = status["workers"]
        self.assertEqual(worker["state"], {"name": "Restarting", "in_ms": 100, "reason": "it died"})
        self.assertEqual((worker["model"]["name"], worker["load_s"], worker["last_error"]), ("tiny", 0.5, "oh"))

    def test_a_drawing_is_written_as_it_is_to_be(self) -> None:
        sent = bytearray()

        class Ends(Exception):
            pass

        class Fake(zimg.Client):
            def __init__(self) -> None:
                self.stream = self

            def sendall(self, data: bytes) -> None:
                sent.extend(data)
                raise Ends

        options = {
            "width": 1024, "steps": 8, "seed": 0x0102030405060708, "count": 2, "guidance": 4.0, "negative": "blur",
            "guidance_normalization": 1.0, "guidance_truncation": 0.5,
        }
        with self.assertRaises(Ends):
            next(Fake().draw("a réd fox", **options))
        body = golden("Request::")["Generate"]
        self.assertEqual(bytes(sent), struct.pack(">I", len(body)) + body)

    def test_images_are_announced_and_follow_in_frames(self) -> None:
        frames: list[bytes] = []

        class Ends(Exception):
            pass

        class Fake(zimg.Client):
            def __init__(self) -> None:
                pass

            def write_frame(self, body: bytes) -> None:
                frames.append(body)

            def receive(self) -> dict[str, object]:
                raise Ends

        rgb, grey = bytes(range(256)) * 768, bytes(65536)
        image = {"width": 256, "height": 256, "rgb": rgb}
        with self.assertRaises(Ends):
            next(Fake().draw("a", image=image, mask={"width": 256, "height": 256, "grey": grey}))
        request, *pixels = frames
        inputs = struct.pack("<Q5I5I?", 2, 0, 0, 256, 256, 1, 1, 1, 256, 256, 1, False)
        self.assertTrue(request.endswith(bytes(6) + inputs))
        self.assertTrue(all(frame[0] == 0x12 and len(frame) <= 256 << 10 for frame in pixels))
        self.assertEqual(b"".join(frame[1:] for frame in pixels), rgb + grey)
        for wrong in ({"width": 4, "height": 4, "rgb": bytes(47)}, {"width": 4, "height": 4, "grey": bytes(16)}):
            with self.assertRaises(zimg.Failed) as caught:
                next(Fake().draw("a", image=wrong))
            self.assertEqual(caught.exception.code, 64)

    def test_a_value_that_no_parameter_has_is_refused(self) -> None:
        with self.assertRaises(zimg.Failed) as caught:
            next(zimg.Client.draw(None, "a fox", steps=[3]))
        self.assertEqual((caught.exception.code, str(caught.exception)), (64, "parameter steps is neither text nor a number"))

    def test_every_kind_of_failure_has_its_code(self) -> None:
        codes = [zimg.read("EVENT", frame[1:])[0]["failure"]["kind"] for frame in golden("Kind::").values()]
        self.assertEqual(codes, list(range(len(zimg.CODES))))


class ImageTest(unittest.TestCase):
    def test_a_png_has_the_pixels(self) -> None:
        image = {"width": 2, "height": 2, "rgb": bytes(range(12))}
        with tempfile.TemporaryDirectory() as folder:
            zimg.save(f"{folder}/a.png", image)
            zimg.save(f"{folder}/a.ppm", image)
            png = Path(folder, "a.png").read_bytes()
            self.assertEqual(Path(folder, "a.ppm").read_bytes(), b"P6\n2 2\n255\n" + bytes(range(12)))
            self.assertEqual(zimg.load(f"{folder}/a.ppm"), image)
            # As GIMP writes it.
            Path(folder, "b.pgm").write_bytes(b"P5\n# made by\n2 1\n255\n\n\xff")
            self.assertEqual(zimg.load(f"{folder}/b.pgm"), {"width": 2, "height": 1, "grey": b"\n\xff"})
            for wrong in (b"", b"P6\n2 2\n65535\n", b"P3\n1 1\n255\n1 2 3"):
                Path(folder, "c.ppm").write_bytes(wrong)
                with self.assertRaises(zimg.Failed):
                    zimg.load(f"{folder}/c.ppm")
        self.assertTrue(png.startswith(b"\x89PNG\r\n\x1a\n"))
        at, chunks = 8, []
        while at < len(png):
            (length,) = struct.unpack_from(">I", png, at)
            name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
            self.assertEqual(struct.unpack_from(">I", png, at + 8 + length)[0], zlib.crc32(name + data))
            chunks.append((name, data))
            at += 12 + length
        self.assertEqual([name for name, _ in chunks], [b"IHDR", b"IDAT", b"IEND"])
        self.assertEqual(chunks[0][1], bytes([0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0]))
        self.assertEqual(zlib.decompress(chunks[1][1]), b"\0" + bytes(range(6)) + b"\0" + bytes(range(6, 12)))


if __name__ == "__main__":
    unittest.main()
