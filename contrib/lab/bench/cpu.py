"""Our CPU path against diffusers, on the built-in model: warm in turns, and cold from exec to an image on disk.

usage: cpu.py --bin DIR [--libtorch DIR] [--out DIR] [--size WxH] [--steps N] [--rounds N] [--cold N] [--threads N]

Both get the same number of threads, prompts and sizes, in float32. Exits with 1 if we are slower in either.
Runs on any machine; `contrib/lab/bench/bench.sh cpu` (`make bench`) builds and installs what it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe
from ours import Daemon, DaemonFailed, Programs
from peers import PROGRAM, Peer, PeerFailed
from report import summary

MODEL = Path(__file__).resolve().parents[3] / "crates/zimage-worker/tiny"
# A prompt of its own for every image: what was encoded before is no advantage.
PROMPTS = [f"a {colour} {shape} on a white background" for shape in ("circle", "square", "star")
           for colour in ("red", "green", "blue", "yellow", "black")]


def warm(programs: Programs, args: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds for an image of each, one of ours and one of theirs in turns, after two that do not count; and of
    our stages."""
    options = ["--model", "tiny", "--device", "cpu", "--threads", str(args.threads), "--warmup", args.size]
    theirs = ["--device", "cpu", "--dtype", "float32", "--threads", args.threads]
    found: dict[str, list[float]] = {"ours": [], "diffusers": [], "text": [], "steps": [], "decode": []}
    with Daemon(programs, options) as daemon, Peer("plain", MODEL, args.out / "peer.log", theirs) as peer:
        for turn in range(args.rounds + 2):
            prompt = PROMPTS[turn % len(PROMPTS)]
            ours = daemon.draw([prompt], args.size, args.steps)[0]
            their = peer.draw([prompt], args.size, args.steps)[0]
            if turn >= 2:
                found["ours"].append(ours["latency"])
                found["diffusers"].append(their)
                for stage in ("text", "steps", "decode"):
                    found[stage].append(ours[stage])
        width, height = map(int, args.size.split("x"))
        stages = peer.ask("stages", prompt=PROMPTS[0], width=width, height=height, count=args.rounds)
    return found | {"diffusers text": stages["text"], "diffusers decode": stages["decode"]}


def cold(programs: Programs, args: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds from exec to an image on disk: zimaged and zimg, and a Python script; in turns."""
    found: dict[str, list[float]] = {"ours": [], "diffusers": []}
    options = ["--model", "tiny", "--device", "cpu", "--threads", str(args.threads), "--warmup", args.size]
    for _ in range(args.cold):
        # zimaged is READY after an image that is thrown away; then zimg draws its own.
        began = time.perf_counter()
        with Daemon(programs, options) as daemon:
            daemon.zimg_ms(PROMPTS[0], args.size, args.steps, args.out / "ours.png")
            found["ours"].append((time.perf_counter() - began) * 1e3)
        command = [sys.executable, PROGRAM, "plain", MODEL, "--device", "cpu", "--dtype", "float32", "--threads",
                   args.threads, "--once", args.out / "diffusers.png", PROMPTS[0], args.size, args.steps]
        began = time.perf_counter()
        with open(args.out / "peer.log", "ab") as log:
            subprocess.run([str(word) for word in command], check=True, stdout=log, stderr=log)
        found["diffusers"].append((time.perf_counter() - began) * 1e3)
    return found


def table(data: dict) -> str:
    """The result as Markdown."""
    lines = ["| | ours, ms: median (n, min–max) | diffusers | ours ÷ diffusers |", "|---|---|---|---|"]
    for name, title in (("warm", "an image, warm"), ("cold", "exec to an image on disk")):
        ours, theirs = data[name]["ours"], data[name]["diffusers"]
        cells = [f"{one['median']:.0f} ({one['n']}, {one['min']:.0f}–{one['max']:.0f})" for one in (ours, theirs)]
        lines.append(f"| {title} | {cells[0]} | {cells[1]} | {data[name]['ratio']:.2f} |")
    for stage in ("text", "decode"):
        ours, theirs = data["warm"][stage]["median"], data["warm"][f"diffusers {stage}"]["median"]
        lines.append(f"| of it: {stage} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |")
    lines.append(f"| of it: steps | {data['warm']['steps']['median']:.0f} | | |")
    return "\n".join(lines)


def slower(data: dict) -> list[str]:
    """Where we are slower than diffusers."""
    return [name for name in ("warm", "cold") if not data[name]["ratio"] <= 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--libtorch", type=Path)
    parser.add_argument("--out", type=Path, default=Path("target/bench"))
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = {"machine": describe(gpu=False), "size": args.size, "steps": args.steps, "threads": args.threads}
    try:
        programs = Programs(args.bin, args.libtorch)
        for name, measure in (("warm", warm), ("cold", cold)):
            found = measure(programs, args)
            data[name] = {key: summary(values) for key, values in found.items()}
            data[name]["ratio"] = statistics.median(found["ours"]) / statistics.median(found["diffusers"])
    except (DaemonFailed, PeerFailed, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 70
    data["machine"]["load at the end"] = round(os.getloadavg()[0], 2)
    (args.out / "cpu.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    print(table(data))
    print(f"\n{args.size}, {args.steps} steps, float32, {args.threads} threads on {data['machine']['cpu']}")
    for name in slower(data):
        print(f"bench: we are slower than diffusers, {name}", file=sys.stderr)
    if slower(data):
        return 1
    print(f"bench: {data['warm']['ratio']:.2f} of diffusers' time warm, {data['cold']['ratio']:.2f} from exec")
    return 0


if __name__ == "__main__":
    sys.exit(main())
