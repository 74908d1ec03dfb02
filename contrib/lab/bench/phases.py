"""What is measured, phase by phase: each starts what it needs, puts rows into the report and ends what it started."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import disk
from checkpoint import make_float32
from machine import MemoryWatch
from ours import Daemon, DaemonFailed
from peers import Peer, PeerFailed
from prompts import THINGS, fresh

EACH, ROUNDS, STARTS = 5, 2, 3
BUILT_IN = Path(__file__).resolve().parents[3] / "crates/zimage-worker/tiny"
TOKENS = 43
# Of the transformer: the prompt's tokens padded to a multiple of 32.
CAPTION = 64


class Bench:
    """The settings of a run, and its phases."""

    def __init__(self, programs, report, args, wanted: set[str]) -> None:
        self.programs, self.report, self.args, self.wanted = programs, report, args, wanted
        self.big, self.small = ("128x128", "64x64") if args.tiny else ("1024x1024", "512x512")
        self.steps = 2 if args.tiny else 8
        self.prompts = fresh(args.checkpoint, TOKENS)
        self.device = args.device
        self.dtype = "float32" if args.tiny else "bfloat16"
        self.lock = threading.Lock()

    def ours(self, *options: str, checkpoint: Path | None = None, dtype: str | None = None) -> Daemon:
        model = checkpoint or self.args.checkpoint
        return Daemon(self.programs, ["--model", str(model), "--device", self.device, "--dtype", dtype or self.dtype,
                                      "--warmup", self.big, *options])

    def peer(self, variant: str) -> Peer:
        options = ["--device", self.device, "--dtype", self.dtype]
        return Peer(variant, self.args.checkpoint, self.args.out / f"{variant}.log", options)

    def take(self, count: int) -> list[str]:
        with self.lock:
            return [next(self.prompts) for _ in range(count)]

    def images(self, daemon: Daemon, size: str, count: int) -> list[dict]:
        return daemon.draw(self.take(count), size, self.steps, count=count)

    def want(self, *keys: str) -> bool:
        return bool(self.wanted.intersection(keys))

    def put(self, key: str, values: list[float], **more) -> None:
        if key in self.wanted:
            self.report.put(key, values, **more)

    def starts(self) -> None:
        """Starts from the page cache; first images; and what one daemon alone has to show."""
        disk.fill(disk.weights(self.args.checkpoint))
        ready, first = [], []
        for number in range(STARTS):
            with MemoryWatch() as watch, self.ours() as daemon:
                ready.append(daemon.ready_s)
                times = [image["latency"] for image in self.images(daemon, self.big, 1 + EACH)]
                first.append(times[0] / statistics.median(times[1:]))
                if number == STARTS - 1:
                    self.alone(daemon)
            if number == 0 and self.want("memory"):
                if watch.gib is None:
                    self.report.skip("memory", "there is no NVIDIA GPU")
                else:
                    self.put("memory", [watch.gib])
        self.put("ready", ready, note="READY comes after one image that is thrown away; of the peer: exec of Python "
                                      "until its first image is drawn")
        self.put("first", first)

    def alone(self, daemon: Daemon) -> None:
        new = self.images(daemon, self.big, EACH)
        self.put("text", [image["text"] for image in new], note=f"tokenizer included; prompts of {TOKENS} tokens")
        self.put("decode", [image["decode"] for image in new])
        same = daemon.draw(self.take(1), self.big, self.steps, count=1 + EACH)
        self.put("text-seen", [image["text"] for image in same[1:]])
        if self.want("zimg"):
            whole = [daemon.zimg_ms(self.take(1)[0], self.big, self.steps, self.args.out / "zimg.png")
                     for _ in range(1 + EACH)]
            self.put("zimg", [wall - own for wall, own in whole[1:]])

    def clients(self) -> None:
        """Eight clients without a pause, against what the worker itself says it worked."""
        count = 8 if self.args.tiny else 24
        with self.ours() as daemon:
            self.images(daemon, self.big, 2)
            drawn = daemon.draw(self.take(count), self.big, self.steps, count=count, clients=8)
        busy = sum(image["text"] + image["steps"] + image["decode"] for image in drawn)
        passed = max(image["ended"] for image in drawn) - min(image["began"] for image in drawn)
        self.put("clients", [busy / passed], note=f"{count} images in {passed / 1e3:.2f} s: "
                                                  f"{count / passed * 1e3:.3f} images/s")

    def turns(self, daemons: dict[str, tuple[Daemon, list[str]]], peers: dict[str, tuple[Peer, list[str]]],
              sizes: dict[str, str]) -> None:
        """Rounds of five images each, in turns. Keys say in which rows a contestant stands; `sizes`: a row's size."""
        values: dict[tuple[str, str], list[float]] = {}
        for turn in range(ROUNDS):
            for key, size in sizes.items():
                for name, (daemon, keys) in daemons.items():
                    if key in keys:
                        found = [image["latency"] / 1e3 for image in self.images(daemon, size, EACH)]
                        values.setdefault((key, name), []).extend(found)
                        self.put(key, values[key, name])
                for name, (peer, keys) in list(peers.items()):
                    if key not in keys or key not in self.wanted:
                        continue
                    try:
                        found = [ms / 1e3 for ms in peer.draw(self.take(EACH), size, self.steps)]
                    except PeerFailed as error:
                        self.report.skip(key, str(error), name)
                        del peers[name]
                        continue
                    values.setdefault((key, name), []).extend(found)
                    self.report.put_peer(key, name, values[key, name])

    def warmed(self, variant: str, keys: list[str], sizes: list[str], into: dict) -> None:
        """Starts a peer and draws two images of each size; what compiles does it here. A failure is the row's word."""
        peer = None
        try:
            peer = self.peer(variant)
            for size in sizes:
                peer.draw(self.take(2), size, self.steps)
            into[variant] = (peer, keys)
        except PeerFailed as error:
            if peer:
                peer.stop()
            for key in keys:
                if key in self.wanted:
                    self.report.skip(key, str(error), variant)

    def bf16(self) -> None:
        """Ours, and diffusers plain and compiled, at both sizes."""
        keys, sizes = ["1024", "512"], {"1024": self.big, "512": self.small}
        with contextlib.ExitStack() as stack:
            daemon = stack.enter_context(self.ours())
            for size in sizes.values():
                self.images(daemon, size, 2)
            peers: dict[str, tuple[Peer, list[str]]] = {}
            stack.callback(lambda: [peer.stop() for peer, _ in peers.values()])
            for variant in [name for name in ("plain", "compiled") if name in self.args.peers]:
                with MemoryWatch() as watch:
                    self.warmed(variant, keys, list(sizes.values()), peers)
                if variant in peers:
                    self.peer_facts(peers[variant][0], variant, watch.gib)
            self.turns({"ours": (daemon, keys)}, peers, sizes)
        if "plain" in self.args.peers and self.want("ready"):
            self.peer_start()

    def peer_start(self) -> None:
        """diffusers once more, now that all files it imports are in the page cache: from exec to its first image."""
        try:
            with self.peer("plain") as peer:
                first = peer.draw(self.take(1), self.big, self.steps)[0] / 1e3
                self.report.put_peer("ready", "plain", [peer.loaded_s + first],
                                     note=f"imports {peer.facts['import_s']:.1f} s, weights {peer.facts['load_s']:.1f} s, "
                                          f"first image {first:.1f} s")
        except PeerFailed as error:
            self.report.skip("ready", str(error), "plain")

    def peer_facts(self, peer: Peer, variant: str, gib: float | None) -> None:
        """What only one peer at a time can show: start, memory, stages."""
        try:
            width, height = map(int, self.big.split("x"))
            torchs = peer.ask("memory")
            stages = peer.ask("stages", prompt=self.take(1)[0], width=width, height=height, count=EACH)
            if self.want("memory") and gib is not None:
                self.report.put_peer("memory", variant, [gib],
                                     note=f"torch's own peak: {torchs['allocated']:.2f} GiB allocated")
            if self.want("text"):
                self.report.put_peer("text", variant, stages["text"], note=f"{stages['tokens']} tokens")
            if self.want("decode"):
                self.report.put_peer("decode", variant, stages["decode"])
        except PeerFailed as error:
            self.report.add(f"stages of {variant}", {"skipped": str(error)})

    def decoder(self) -> None:
        """diffusers' decoder in channels_last, compiled."""
        if "compiled" not in self.args.peers or self.args.tiny:
            return
        width, height = map(int, self.big.split("x"))
        peer = self.peer("compiled")
        try:
            found = peer.ask("compiled_decoder", width=width, height=height, count=EACH)["decode"]
            self.report.put_peer("decode", "compiled", found, note="the decoder compiled too, in channels_last")
        finally:
            peer.stop()

    def float8(self) -> None:
        """Ours in float8, ours without fast paths, and diffusers in float8. Where one is refused, the others go on."""
        daemons: dict[str, tuple[Daemon, list[str]]] = {}
        peers: dict[str, tuple[Peer, list[str]]] = {}
        with contextlib.ExitStack() as stack:
            for key, options, dtype in (("1024-float8", [], "float8"), ("1024-plain", ["--eager"], None)):
                if key not in self.wanted:
                    continue
                try:
                    daemon = stack.enter_context(self.ours(*options, dtype=dtype))
                    self.images(daemon, self.big, 2)
                    daemons[key] = (daemon, [key])
                except DaemonFailed as error:
                    self.report.skip(key, str(error))
            stack.callback(lambda: [peer.stop() for peer, _ in peers.values()])
            if "float8" in self.args.peers and self.want("1024-float8"):
                self.warmed("float8", ["1024-float8"], [self.big], peers)
            self.turns(daemons, peers, {"1024-float8": self.big, "1024-plain": self.big})

    def cold(self) -> None:
        """A start with the page cache dropped, beside the disk's own speed before and after it: the faster one counts."""
        files = disk.weights(self.args.checkpoint)
        seconds = 1 if self.args.tiny else 6
        try:
            disk.drop(files)
            before, left = disk.direct_speed(files, seconds), disk.resident(files)
            if left > 0.01:
                self.report.skip("ready-cold", f"{left:.0%} of the files stayed in the page cache")
                return
            with self.ours() as daemon:
                found = daemon.ready_s
            disk.drop(files)
            after = disk.direct_speed(files, seconds)
        except OSError as error:
            self.report.skip("ready-cold", f"the disk's speed cannot be measured: {error}")
            return
        floor = disk.size(files) / max(before, after)
        self.put("ready-cold", [found], goal=1.05 * floor + 1, floor=f"{floor:.2f} s",
                 note=f"{disk.size(files) / 1e9:.1f} GB; the disk gives {before / 1e9:.2f} GB/s before and "
                      f"{after / 1e9:.2f} GB/s after (O_DIRECT, 12 threads); goal 1.05 × floor + 1 s")

    def float32(self) -> None:
        """Starts from float32 shards in the page cache."""
        folder = self.args.out / "checkpoint-float32"
        make_float32(self.args.checkpoint, folder)
        disk.fill(disk.weights(folder))
        ready = []
        for _ in range(STARTS):
            with self.ours(checkpoint=folder) as daemon:
                ready.append(daemon.ready_s)
        self.put("ready-float32", ready)

    def floor(self) -> None:
        """What this very GPU allows for a step, for seconds on end: its products and attention alone."""
        if self.args.tiny:
            self.report.add("floor", {"skipped": "there is no GPU"})
            return
        found = {}
        for size in (self.big, self.small):
            command = [sys.executable, Path(__file__).with_name("floor.py"), size, str(CAPTION)]
            ran = subprocess.run(command, capture_output=True, text=True)
            found[size] = json.loads(ran.stdout) if ran.returncode == 0 else {"skipped": ran.stderr[-300:]}
        self.report.add("floor", found)

    def quality(self) -> None:
        """float8 against bfloat16 on the built-in model, whose images show something."""
        folders, things, size = {}, THINGS, "256x256"
        # A CPU draws slowly in bfloat16, and has no float8: there only the way is tested.
        compared = ("bfloat16", "float8") if not self.args.tiny else ("float32", "bfloat16")
        if self.args.tiny:
            things, size = THINGS[:2], "64x64"
        for dtype in compared:
            folders[dtype] = self.args.out / f"built-in-{dtype}"
            folders[dtype].mkdir(exist_ok=True)
            with self.ours(checkpoint=BUILT_IN, dtype=dtype) as daemon:
                for number, prompt in enumerate(things):
                    daemon.zimg_ms(prompt, size, self.steps, folders[dtype] / f"{number:02}.png")
        command = [sys.executable, Path(__file__).with_name("quality.py"), *folders.values()]
        ran = subprocess.run(command, capture_output=True, text=True)
        said = json.loads(ran.stdout.splitlines()[-1]) if ran.returncode == 0 else {"skipped": ran.stderr[-300:]}
        self.report.add("quality", {f"{compared[1]} against {compared[0]}, built-in model": said})
