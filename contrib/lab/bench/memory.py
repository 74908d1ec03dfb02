"""The benchmark of memory plans: each budget of each kind of weights in a daemon of its own, diffusers' modes in turns
with them, and the table of docs/memory.md.

usage: memory.py --bin target/release --out DIR [--checkpoint DIR] [--libtorch DIR] [--rows ROW,…] [--budget SECONDS]
                 [--again] [--tiny] [--list]

A row is KIND-BUDGET-SIZE or KIND-BUDGET-SIZE-pinned, such as bf16-8-1024 or float8-4-2048-pinned; BUDGET is in GiB, or
`all` for a device that holds everything. KIND is bf16, float8 (a file with a scale for each row), q4_k or
int8 (ConvRot). A row of
diffusers is peer-MODE-SIZE. Patterns choose several: `bf16-*-1024,peer-*-1024`. Without --checkpoint one of the real
size with random weights is made first; the files of the other kinds are made from its shapes, in OUT.

Each row is written to OUT/memory.json as soon as it is measured, and a row that is there is not measured again unless
--again says so: several short runs fill one table, but a ratio is told only of rows of one run. GPU memory is the peak
that nvidia-smi sees from outside, less what was in use before; host memory is that of the worker, without the page
cache. Every row has a digest of the pixels of one prompt and seed: rows of one kind and size must agree.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import statistics
import struct
import sys
import threading
import time
import uuid
from pathlib import Path

import checkpoint
import disk
import layouts
from machine import MemoryWatch, describe
from ours import Daemon, DaemonFailed, Programs
from peers import Peer, PeerFailed
from prompts import fresh

BUILT_IN = Path(__file__).resolve().parents[3] / "crates/zimage-worker/tiny"
BUDGETS = ["all", "24", "16", "12", "8", "6", "4"]
SIZES = ["512", "1024", "2048"]
KINDS = {"bf16": "bfloat16", "float8": "float8", "q4_k": "bfloat16", "int8": "int8"}
LAYOUTS = {"float8": "float8_rows", "int8": "int8_convrot"}
MODES = ["plain", "model-offload", "group-block", "group-leaf"]
# Of the resident image's time, of bf16 or for 8 bits of float8, for a prompt seen before and a new one, at 1024².
GOALS = {
    "bf16": {"24": (1.00, None), "16": (1.03, 1.06), "12": (1.05, 1.15), "8": (1.12, 1.30), "6": (1.5, 1.7),
             "4": (2.0, 2.2)},
    "float8": {"24": (1.00, None), "16": (1.02, None), "12": (1.03, None), "8": (1.06, 1.3), "6": (1.12, 1.4),
               "4": (1.3, None)},
    "q4_k": {"24": (1.12, None), "16": (1.12, None), "12": (1.12, None), "8": (1.15, None), "6": (1.2, None),
             "4": (1.4, None)},
}
GOALS["int8"] = GOALS["float8"]
BASES = {"q4_k": "bf16", "int8": "float8"}
# Seconds that a row takes on an H200 at most, by its size; a peer's row takes three times as long.
SECONDS = {"512": 12, "1024": 20, "2048": 50}
TOKENS = 43
# What the daemon says of an image, in milliseconds.
STAGES = ["text", "steps", "decode"]
# So many rows one after the other that fail are the program's fault, and the others would fail alike.
FAILURES = 2


def order(tiny: bool) -> list[str]:
    """All rows, so that short runs of the first ones have what is asked first, and peers come in turns with ours."""
    ours = [f"{kind}-{budget}-1024{mode}" for mode in ("", "-pinned") for kind in KINDS for budget in BUDGETS
            if not (mode and budget == "all")]
    others = [f"{kind}-{budget}-{size}{mode}" for size in ("512", "2048") for mode in ("", "-pinned")
              for kind in KINDS for budget in BUDGETS if not (mode and budget == "all")]
    peers = [f"peer-{mode}-{size}" for size in ("1024", "512", "2048") for mode in MODES]
    if tiny:
        return ["bf16-all-1024", "bf16-4-1024", "bf16-4-512-pinned", "peer-plain-512"]
    rows = []
    for number, row in enumerate(ours + others):
        rows.append(row)
        if number % 6 == 5 and peers:
            rows.append(peers.pop(0))
    return rows + peers


def pixels_digest(png: Path) -> str:
    """A digest of a PNG's compressed pixels: one encoder wrote all of them."""
    data, at, digest = png.read_bytes(), 8, hashlib.sha256()
    while at < len(data):
        (length,) = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] == b"IDAT":
            digest.update(data[at + 8:at + 8 + length])
        at += 12 + length
    return digest.hexdigest()[:16]


class HostWatch:
    """The most anonymous and shared memory of a process, in GiB, without the pages of files."""

    def __init__(self, pid: int) -> None:
        self.status, self.most, self.ends = Path(f"/proc/{pid}/status"), 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def read(self) -> float:
        try:
            lines = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
        except OSError:
            return 0.0
        kib = sum(int(lines.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))
        return kib / (1 << 20)

    def watch(self) -> None:
        while not self.ends.wait(0.05):
            self.most = max(self.most, self.read())

    def __enter__(self) -> HostWatch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self.thread.join()


def summary(milliseconds: list[float]) -> dict:
    return {"median": round(statistics.median(milliseconds) / 1e3, 4), "min": round(min(milliseconds) / 1e3, 4),
            "max": round(max(milliseconds) / 1e3, 4), "n": len(milliseconds)}


class Bench:
    """One run: what has been measured is on disk after each row."""

    def __init__(self, args: argparse.Namespace, programs: Programs) -> None:
        self.args, self.programs, self.run = args, programs, uuid.uuid4().hex[:8]
        self.path = args.out / "memory.json"
        self.data = json.loads(self.path.read_text()) if self.path.exists() else {"rows": {}, "runs": {}}
        self.data["runs"][self.run] = describe(gpu=not args.tiny)
        self.prompts = fresh(args.checkpoint, TOKENS)
        self.folders: dict[str, Path] = {"bf16": args.checkpoint}
        self.filled: set[str] = set()

    def model(self, kind: str) -> Path:
        """The checkpoint of a kind, in the page cache."""
        if kind not in self.folders:
            layout = LAYOUTS.get(kind, kind)
            self.folders[kind] = layouts.make(self.args.checkpoint, self.args.out / "files", (layout,))[layout]
        if kind not in self.filled:
            disk.fill([path for path in self.folders[kind].rglob("*") if path.suffix in (".safetensors", ".gguf")])
            self.filled.add(kind)
        return self.folders[kind]

    def put(self, row: str, found: dict) -> None:
        self.data["rows"][row] = found | {"run": self.run}
        written = json.dumps(self.data, indent=1)
        self.path.with_suffix(".part").write_text(written)
        self.path.with_suffix(".part").rename(self.path)
        print(f"bench: {row}: {json.dumps(found)}", flush=True)

    def side(self, size: str) -> int:
        return int(size) // 8 if self.args.tiny else int(size)

    def ours(self, row: str) -> dict:
        kind, budget, size, *mode = row.split("-")
        side = f"{self.side(size)}x{self.side(size)}"
        options = ["--model", str(self.model(kind)), "--device", self.args.device, "--warmup", side]
        options += ["--dtype", "float32" if self.args.tiny else KINDS[kind]]
        if budget != "all":
            # The built-in model needs as many times 12 MiB.
            options += ["--memory", f"{int(budget) * 12}MiB" if self.args.tiny else f"{budget}GiB"]
        options += ["--pinned-memory", "64GiB" if mode else "512MiB"]
        steps, (seen, new) = (2 if self.args.tiny else 8), {"2048": (3, 2)}.get(size, (7, 4))
        with MemoryWatch() as gpu, Daemon(self.programs, options) as daemon:
            [worker] = daemon.status()["workers"]
            with HostWatch(worker["pid"]) as host:
                fresh_prompts = [next(self.prompts) for _ in range(new + 1)]
                new_ms = [image["latency"] for image in daemon.draw(fresh_prompts, side, steps, count=new + 1)]
                images = daemon.draw([fresh_prompts[-1]], side, steps, count=seen + 2)[2:]
                image = daemon.folder / "image.png"
                daemon.zimg_ms("a lighthouse at dusk", side, steps, image)
                digest = pixels_digest(image)
            [after] = daemon.status()["workers"]
            log = daemon.log.read_text(errors="replace")
        stages = {name: round(statistics.median(image[name] for image in images), 1) for name in STAGES}
        seen_ms = [image["latency"] for image in images]
        found = {"seen": summary(seen_ms), "stages_ms": stages, "new": summary(new_ms[1:]), "ready": round(daemon.ready_s, 2),
                 "gpu_gib": gpu.gib and round(gpu.gib, 2), "host_gib": round(host.most, 2), "digest": digest,
                 "restarts": after["restarts"], "plan": (after.get("plan") or {}).get("sentence")}
        if after["restarts"]:
            found["log"] = [line[:300] for line in log.splitlines() if "memory" in line][-6:]
        if gpu.gib and budget != "all":
            found["within"] = gpu.gib <= float(budget)
        return found

    def peer(self, row: str) -> dict:
        mode, size = row.removeprefix("peer-").rsplit("-", 1)
        side, steps = self.side(size), 2 if self.args.tiny else 8
        self.model("bf16")
        options = ["--device", self.args.device, "--dtype", "float32" if self.args.tiny else "bfloat16"]
        with MemoryWatch() as gpu, Peer(mode, self.args.checkpoint, self.args.out / f"{mode}.log", options) as peer:
            with HostWatch(peer.process.pid) as host:
                prompts = [next(self.prompts) for _ in range(4)]
                times = peer.draw(prompts, f"{side}x{side}", steps)
        return {"new": summary(times[1:]), "gpu_gib": gpu.gib and round(gpu.gib, 2), "host_gib": round(host.most, 2),
                "loaded": round(peer.loaded_s, 1)}

    def measure(self, rows: list[str], ends: float) -> list[str]:
        """Measures the rows that are missing, as long as there is time; those that failed."""
        failed, in_a_row = [], 0
        for row in rows:
            if row in self.data["rows"] and "failed" not in self.data["rows"][row] and not self.args.again:
                continue
            needed = SECONDS[row.removesuffix("-pinned").rsplit("-", 1)[1]] * (3 if row.startswith("peer") else 1)
            if time.monotonic() + needed > ends:
                print(f"bench: {row}: left out, {needed} s may be needed", flush=True)
                continue
            try:
                self.put(row, self.peer(row) if row.startswith("peer-") else self.ours(row))
                in_a_row = 0
            except (DaemonFailed, PeerFailed, OSError, ValueError, KeyError) as error:
                failed.append(row)
                in_a_row += 1
                self.put(row, {"failed": str(error)[:400]})
                if in_a_row == FAILURES:
                    print(f"bench: {FAILURES} rows in a row failed: the others are left out", flush=True)
                    break
        return failed


def told(value: float | None, resident: float | None, goal: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.3f} s"
    if resident:
        ratio = value / resident
        text += f", {ratio:.2f}×"
        if goal:
            text += f" (≤ {goal:.2f})" + ("" if ratio <= goal + 0.005 else " **missed**")
    return text


def table(data: dict) -> str:
    """Markdown: a table for each size, and what does not agree."""
    rows, lines = data["rows"], []
    for size in SIZES:
        found = [row for row in order(False) if row in rows and row.removesuffix("-pinned").endswith(f"-{size}")]
        if not found:
            continue
        lines += [f"### {size}²", "", "| weights, budget | plan | GPU memory | prompt seen before | new prompt | host |",
                  "|---|---|---|---|---|---|"]
        for row in sorted(found, key=lambda row: row.startswith("peer-")):
            it = rows[row]
            if "failed" in it:
                lines.append(f"| {row} | {it['failed']} | | | | |")
                continue
            kind, budget = row.split("-")[:2]
            base = rows.get(f"{BASES.get(kind, kind)}-all-{size}", {})
            resident = base["seen"]["median"] if base.get("run") == it["run"] and "seen" in base else None
            goals = GOALS.get(kind, {}).get(budget, (None, None)) if size == "1024" else (None, None)
            seen = it["seen"]["median"] if "seen" in it else None
            memory = "" if it["gpu_gib"] is None else f"{it['gpu_gib']:.2f} GiB"
            memory += " **above the budget**" if it.get("within") is False else ""
            plan = (it.get("plan") or "").rsplit(":", 1)[0] or "all resident"
            lines.append(f"| {row.removesuffix(f'-{size}')} | {'' if row.startswith('peer-') else plan} | {memory} | "
                         f"{told(seen, resident, goals[0])} | {told(it['new']['median'], resident, goals[1])} | "
                         f"{it['host_gib']:.2f} GiB |")
        for kind in KINDS:
            digests = {rows[row]["digest"]: row for row in found if row.startswith(f"{kind}-") and "digest" in rows[row]}
            if len(digests) > 1:
                lines += ["", f"**Different pixels of {kind}:** {', '.join(digests.values())}"]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="where zimaged, zimg, zimage-worker and latency are")
    parser.add_argument("--libtorch", type=Path, help="a folder with lib/ to run the worker on [the one it was built on]")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--tokenizer", type=Path, default=checkpoint.TOKENIZER, help="for the checkpoint that is made")
    parser.add_argument("--out", type=Path, default=Path("target/bench"))
    parser.add_argument("--rows", default="*", help="patterns, with commas")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds: begins no row that may end later")
    parser.add_argument("--again", action="store_true", help="measures rows again that are there")
    parser.add_argument("--tiny", action="store_true", help="the built-in model on the CPU: tests this script")
    parser.add_argument("--list", action="version", version="\n".join(order(False)))
    args = parser.parse_args()
    began = time.monotonic()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.tiny:
        args.device, args.checkpoint = "cpu", args.checkpoint or BUILT_IN
    patterns = args.rows.split(",")
    rows = [row for row in order(args.tiny) if any(fnmatch.fnmatchcase(row, pattern) for pattern in patterns)]
    if not rows:
        sys.exit(f"memory.py: no row is like '{args.rows}'; --list shows all")
    try:
        programs = Programs(args.bin, args.libtorch)
        if not args.checkpoint:
            args.checkpoint = args.out / "checkpoint"
            checkpoint.make(args.checkpoint, args.tokenizer)
        args.checkpoint = args.checkpoint.resolve()
        os.sync()
        failed = Bench(args, programs).measure(rows, began + args.budget)
    except DaemonFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 70
    path = args.out / "memory.json"
    if path.exists():
        text = table(json.loads(path.read_text()))
        (args.out / "memory.md").write_text(text)
        print(f"\n{text}\nbench: {time.monotonic() - began:.0f} s in all; JSON in {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
