"""Tests of the benchmark's own logic, and of the whole GPU script on the built-in model where the programs are built."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

import chart
import cpu
import disk
import gpu
import memory
import ours
import rows
from checkpoint import elements
from peers import Peer, PeerFailed
from report import Report, summary, table

HERE = Path(__file__).parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[2] / "target"))

# A peer that says what it was asked, refuses what it does not know, and dies when told.
FAKE_PEER = """
import json, sys
print(json.dumps({"import_s": 1, "load_s": 2}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["do"] == "die":
        sys.exit("out of memory")
    print(json.dumps({"ms": [5.0] * len(asked["prompts"])} if asked["do"] == "draw" else {"error": "no"}), flush=True)
"""


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.folder = Path(held.name)


class ReportTest(Folder):
    def report(self) -> Report:
        with contextlib.redirect_stdout(io.StringIO()):
            made = Report(self.folder / "gpu.json", {"gpu": "a GPU", "driver": "1"})
            made.put("1024", [0.8, 0.7, 0.6])
            made.put_peer("1024", "plain", [1.4])
            made.skip("1024", "it died", "compiled")
            made.put("clients", [0.9])
            made.put("ready-cold", [3.0], goal=2.5, floor="1.43 s")
            made.skip("memory", "there is no NVIDIA GPU")
        return made

    def test_what_was_measured_is_on_disk_before_the_end(self) -> None:
        self.report()
        data = json.loads((self.folder / "gpu.json").read_text())
        self.assertFalse(data["finished"])
        row = data["rows"]["1024"]
        self.assertEqual((row["ours"]["median"], row["ours"]["n"], row["reached"]), (0.7, 3, True))
        self.assertAlmostEqual(row["peers"]["plain"]["ratio"], 0.5)
        self.assertFalse(data["rows"]["clients"]["reached"], "0.9 is less than 0.97")
        self.assertFalse(data["rows"]["ready-cold"]["reached"])

    def test_the_table_shows_every_row_and_why_one_is_missing(self) -> None:
        lines = table(self.report().data).splitlines()
        self.assertEqual(len({line.count("|") for line in lines if line.startswith("|")}), 1, "all rows are as wide")
        text = "\n".join(lines)
        self.assertIn("≤ 0.750 s | **0.700 s** (3, 0.600 s–0.800 s) | 1.400 s · 0.50 | it died | 0.62 s", text)
        self.assertIn("not measured: there is no NVIDIA GPU", text)
        self.assertIn("≥ 0.970 | 0.900 (1,", text)
        self.assertIn("1.43 s", text)

    def test_a_ratio_follows_later_values(self) -> None:
        made = self.report()
        with contextlib.redirect_stdout(io.StringIO()):
            made.put("1024", [1.4])
        self.assertAlmostEqual(made.data["rows"]["1024"]["peers"]["plain"]["ratio"], 1.0)

    def test_the_chart_is_well_formed_and_bars_are_to_scale(self) -> None:
        drawn = chart.chart(self.report().data)
        space = {"svg": "http://www.w3.org/2000/svg"}
        bars = xml.fromstring(drawn).findall("svg:rect", space)
        widths = [float(bar.get("width")) for bar in bars]
        self.assertEqual(len(widths), 2, "a row without a peer has no bars")
        self.assertAlmostEqual(widths[0] / widths[1], 0.5, places=2)
        self.assertIn("prefers-color-scheme: dark", drawn)
        with self.assertRaises(ValueError):
            chart.chart({"rows": {}, "machine": {}})

    def test_every_phase_fills_rows_that_exist_and_every_row_is_filled(self) -> None:
        filled = {key for _, keys, _ in gpu.PHASES for key in keys}
        self.assertEqual(filled, set(rows.BY_KEY) | set(gpu.SECTIONS))

    def test_slower_is_slower_and_nan_too(self) -> None:
        data = {"warm": {"ratio": 1.01}, "cold": {"ratio": 0.5}}
        self.assertEqual(cpu.slower(data), ["warm"])
        self.assertEqual(cpu.slower({"warm": {"ratio": float("nan")}, "cold": {"ratio": 1.0}}), ["warm"])

    def test_a_summary_keeps_the_values(self) -> None:
        self.assertEqual(summary([3.0, 1.0, 2.0]), {"n": 3, "median": 2.0, "min": 1.0, "max": 3.0,
                                                    "values": [3.0, 1.0, 2.0]})


class PeerTest(Folder):
    def peer(self, program: str, timeout: float = 30) -> Peer:
        file = self.folder / "peer.py"
        file.write_text(program)
        return Peer("plain", Path("nowhere"), self.folder / "log", [], timeout, file)

    def test_answers_refusals_and_death(self) -> None:
        with self.peer(FAKE_PEER) as peer:
            self.assertEqual(peer.facts["load_s"], 2)
            self.assertEqual(peer.draw(["a", "b"], "64x64", 2), [5.0, 5.0])
            with self.assertRaisesRegex(PeerFailed, "plain: no"):
                peer.ask("stages")
            with self.assertRaisesRegex(PeerFailed, "out of memory"):
                peer.ask("die")
            with self.assertRaises(PeerFailed):
                peer.ask("draw", prompts=[])

    def test_one_that_hangs_is_ended(self) -> None:
        with self.assertRaisesRegex(PeerFailed, "died"):
            self.peer("import time; time.sleep(600)", timeout=0.5)


class DiskTest(Folder):
    def test_what_was_read_is_resident_and_counted(self) -> None:
        file = self.folder / "transformer" / "model.safetensors"
        file.parent.mkdir()
        file.write_bytes(os.urandom(disk.BLOCK + 5))
        self.assertEqual(disk.weights(self.folder), [file])
        disk.fill([file])
        self.assertGreater(disk.resident([file]), 0.9)
        self.assertEqual(disk.size([file]), disk.BLOCK + 5)

    def test_the_speed_of_nothing_is_an_error(self) -> None:
        with self.assertRaises(OSError):
            disk.direct_speed([], 1)

    def test_elements_are_counted_from_the_header(self) -> None:
        header = json.dumps({"__metadata__": {"a": "b"}, "w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}})
        file = self.folder / "x.safetensors"
        file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(12))
        self.assertEqual(elements(file), 3)


class MemoryTest(Folder):
    def test_rows_are_all_there_and_peers_come_between_them(self) -> None:
        rows = memory.order(False)
        self.assertEqual(len(rows), len(set(rows)))
        self.assertEqual(len(rows), 4 * 3 * 13 + 3 * 4)
        peers = [number for number, row in enumerate(rows) if row.startswith("peer-")]
        self.assertLess(peers[0], 8)
        self.assertTrue(all(later - before == 7 for before, later in zip(peers, peers[1:])))

    def test_a_ratio_is_told_of_one_run_alone(self) -> None:
        def row(seconds: float, run: str, digest: str, within: bool = True) -> dict:
            times = {"median": seconds, "min": seconds, "max": seconds, "n": 1}
            return {"seen": times, "new": times, "gpu_gib": 7.5, "host_gib": 1.0, "digest": digest, "run": run,
                    "plan": "bfloat16, 17 of 32 blocks resident: about 0.80 s an image, 7.9 GiB", "within": within}

        told = memory.table({"rows": {"bf16-all-1024": row(0.7, "a", "1"), "bf16-8-1024": row(0.77, "a", "1"),
                                      "bf16-6-1024": row(1.4, "a", "2", False), "bf16-4-1024": row(1.5, "b", "1"),
                                      "float8-4-512": {"failed": "no word", "run": "a"}}})
        self.assertIn("| bf16-8 | bfloat16, 17 of 32 blocks resident | 7.50 GiB | 0.770 s, 1.10× (≤ 1.12)", told)
        self.assertIn("1.400 s, 2.00× (≤ 1.50) **missed**", told)
        self.assertIn("**above the budget**", told)
        self.assertIn("| bf16-4 | bfloat16, 17 of 32 blocks resident | 7.50 GiB | 1.500 s | 1.500 s |", told)
        self.assertIn("**Different pixels of bf16:**", told)
        self.assertIn("| float8-4-512 | no word |", told)

    def test_only_pixels_are_digested(self) -> None:
        def png(text: bytes, pixels: bytes) -> str:
            chunks = [(b"tEXt", text), (b"IDAT", pixels), (b"IEND", b"")]
            file = self.folder / "x.png"
            file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
                len(data).to_bytes(4, "big") + name + data + bytes(4) for name, data in chunks))
            return memory.pixels_digest(file)

        self.assertEqual(png(b"a", b"1"), png(b"bb", b"1"))
        self.assertNotEqual(png(b"a", b"1"), png(b"a", b"2"))

    @unittest.skipUnless((TARGET / "debug/examples/latency").exists() and (TARGET / "debug/zimage-worker").exists(),
                         "the programs are not built")
    def test_a_row_of_the_built_in_model_is_measured_once(self) -> None:
        command = [sys.executable, "-B", HERE / "memory.py", "--tiny", "--bin", TARGET / "debug", "--out", self.folder,
                   "--rows", "bf16-4-512-pinned"]
        first = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(first.returncode, 0, first.stderr + first.stdout)
        row = json.loads((self.folder / "memory.json").read_text())["rows"]["bf16-4-512-pinned"]
        self.assertEqual((row["seen"]["n"], row["new"]["n"], row["restarts"]), (7, 4, 0))
        again = subprocess.run(command, capture_output=True, text=True)
        self.assertNotIn("bench: bf16", again.stdout)


class ProgramsTest(Folder):
    def test_missing_programs_are_said(self) -> None:
        with self.assertRaisesRegex(ours.DaemonFailed, "does not exist: build it"):
            ours.Programs(self.folder, None)

    def test_the_users_settings_take_no_part(self) -> None:
        os.environ["ZIMG_SOCKET"] = "/elsewhere"
        self.addCleanup(os.environ.pop, "ZIMG_SOCKET")
        self.assertNotIn("ZIMG_SOCKET", ours.environment(None))

    def test_an_unknown_row_is_refused(self) -> None:
        with self.assertRaises(SystemExit):
            gpu.chosen("1024,nonsense", ["1024"], "row")

    @unittest.skipUnless((TARGET / "debug/examples/latency").exists() and (TARGET / "debug/zimage-worker").exists(),
                         "the programs are not built")
    def test_the_whole_script_on_the_built_in_model(self) -> None:
        wanted = ["1024", "512", "text", "text-seen", "decode", "ready", "first", "zimg", "clients"]
        command = [sys.executable, "-B", HERE / "gpu.py", "--tiny", "--peers", "none", "--bin", TARGET / "debug",
                   "--out", self.folder, "--rows", ",".join([*wanted, "memory"])]
        ran = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr + ran.stdout)
        data = json.loads((self.folder / "gpu.json").read_text())
        self.assertTrue(data["finished"])
        self.assertEqual({key for key in wanted if "ours" not in data["rows"].get(key, {})}, set())
        self.assertEqual(data["rows"]["1024"]["ours"]["n"], 10)
        self.assertIn("| " + rows.BY_KEY["first"].title, ran.stdout)


if __name__ == "__main__":
    unittest.main()
