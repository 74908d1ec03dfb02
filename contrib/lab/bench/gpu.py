"""The benchmark on a GPU: ours and diffusers in turns, the table of docs/performance.md, and JSON beside it.

usage: gpu.py --bin target/release [--checkpoint DIR] [--out DIR] [--rows 1024,512,…] [--peers plain,compiled,float8]
              [--budget SECONDS]

Without --checkpoint one of the real size with random weights is made first (20 GB; its images are noise, its times
are the real ones). Rows and sections: --list. What is measured is printed and written to OUT/gpu.json as it comes, so an
interrupted run keeps what it has. --budget begins no phase that would probably end later. `contrib/lab/bench/bench.sh gpu`
(`make gpu-bench`) builds and installs what it needs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import checkpoint
import parity
from machine import describe
from ours import DaemonFailed, Programs
from peers import PeerFailed
from phases import Bench
from report import Report, table
from rows import PEERS, ROWS

BUILT_IN = Path(__file__).resolve().parents[3] / "crates/zimage-worker/tiny"
# Name, what it fills, and the seconds it takes on an H200 at most, for --budget.
PHASES = [
    ("starts", ["ready", "first", "memory", "text", "text-seen", "decode", "zimg"], 50),
    ("bf16", ["1024", "512", "ready", "memory", "text", "decode"], 150),
    ("floor", ["floor"], 25),
    ("float32", ["ready-float32"], 45),
    ("clients", ["clients"], 30),
    ("float8", ["1024-float8", "1024-plain"], 90),
    ("parity", ["parity"], 90),
    ("cold", ["ready-cold"], 40),
    ("decoder", ["decode"], 60),
    ("quality", ["quality"], 40),
]
SECTIONS = ["floor", "parity", "quality"]


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    """The names in a list with commas; all when none is given."""
    names = known if text is None else [name for name in text.split(",") if name and name != "none"]
    for name in names:
        if name not in known:
            sys.exit(f"gpu.py: there is no {what} '{name}'; there are {', '.join(known)}")
    return names


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="where zimaged, zimg, zimage-worker and latency are")
    parser.add_argument("--libtorch", type=Path, help="a folder with lib/ to run the worker on [the one it was built on]")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--tokenizer", type=Path, default=checkpoint.TOKENIZER, help="for the checkpoint that is made")
    parser.add_argument("--out", type=Path, default=Path("target/bench"))
    parser.add_argument("--rows", help="only these, with commas")
    parser.add_argument("--peers", help="of plain,compiled,float8; or none")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds for all")
    parser.add_argument("--tiny", action="store_true", help="the built-in model on the CPU, small: tests these scripts")
    parser.add_argument("--list", action="version", version="\n".join([row.key for row in ROWS] + SECTIONS))
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.peers = chosen(args.peers, ["plain"] if args.tiny else list(PEERS), "peer")
    args.rows = chosen(args.rows, [row.key for row in ROWS] + SECTIONS, "row")
    if args.tiny:
        args.device, args.checkpoint = "cpu", args.checkpoint or BUILT_IN
    return args


def main() -> int:
    args, began = arguments(), time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    machine = describe(gpu=not args.tiny)
    if args.tiny:
        machine["not a measurement"] = "the built-in model at 128×128 and 64×64, 2 steps, tests the scripts"
    # What was to be reached on a GPU is nothing to hold a test against.
    report = Report(args.out / "gpu.json", machine, goals=not args.tiny)
    try:
        programs = Programs(args.bin, args.libtorch)
        if not args.checkpoint:
            args.checkpoint = args.out / "checkpoint"
            checkpoint.make(args.checkpoint, args.tokenizer)
    except (DaemonFailed, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 70
    args.checkpoint = args.checkpoint.resolve()
    # What is still to be written of a new checkpoint would be waited for by every `fsync`.
    os.sync()
    bench = Bench(programs, report, args, set(args.rows))
    failed = []
    for name, keys, seconds in PHASES:
        if not bench.want(*keys):
            continue
        passed = time.monotonic() - began
        if passed + seconds > args.budget:
            missing = f"{seconds} s may be needed and {args.budget - passed:.0f} s are left"
            for key in bench.wanted.intersection(keys) - set(report.data["rows"]) - set(SECTIONS):
                report.skip(key, missing)
            print(f"bench: {name}: left out, {missing}", flush=True)
            continue
        print(f"bench: {passed:.0f} s: {name}", flush=True)
        try:
            if name == "parity":
                if importlib.util.find_spec("diffusers") is None:
                    report.add("parity", {"skipped": "diffusers is not installed"})
                else:
                    report.add("parity", parity.measure(programs, args.checkpoint, args.out / "parity", args.tiny))
            else:
                getattr(bench, name)()
        except (DaemonFailed, PeerFailed, OSError, subprocess.SubprocessError) as error:
            failed.append(name)
            print(f"bench: {name} failed: {error}", file=sys.stderr, flush=True)
            for key in bench.wanted.intersection(keys) - set(SECTIONS):
                if "ours" not in report.data["rows"].get(key, {}):
                    report.skip(key, str(error))
            if name in SECTIONS:
                report.add(name, {"skipped": str(error)})
    report.finish()
    text = table(report.data)
    (args.out / "gpu.md").write_text(text)
    print(f"\n{text}\nbench: {time.monotonic() - began:.0f} s in all; JSON in {report.path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
