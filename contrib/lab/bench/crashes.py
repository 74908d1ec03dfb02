"""What a crash and a restart cost on a GPU: the promises of docs/specification.md under "Life".

usage: crashes.py --bin DIR --checkpoint DIR [--libtorch DIR] [--faulty PROGRAM] [--out FILE]

An image of 1024² whose worker is killed after its third step, against the same image undisturbed; the same with a
planted write to an illegal address (`faulty-worker`, built with `--features faults`); a restart of the daemon with a
service manager that keeps its descriptors; and a daemon that is killed. Prints a line a check and one of JSON, and
exits with 1 if an image differs or a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from machine import smi
from ours import TIMEOUT, Programs

SIZE, SEED, PROMPT = "1024x1024", "7", "a red fox in the snow"
# Seconds beyond an undisturbed image, from exec to READY with weights kept, until the memory is free.
EXTRA, RESTART, FREE = 1.5, 1.2, 1.0


class Service:
    """zimaged under a service manager that stores descriptors (sd_notify(3), FDSTORE=1)."""

    def __init__(self, programs: Programs, arguments: list, environment: dict | None = None) -> None:
        self.programs, self.arguments = programs, arguments
        self.folder = Path(tempfile.mkdtemp(prefix="zimg-crash-"))
        self.socket, self.log = self.folder / "zimaged.sock", self.folder / "log"
        (self.folder / "zimaged.toml").touch()
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(str(self.folder / "notify"))
        self.environment = programs.environment | {"NOTIFY_SOCKET": str(self.folder / "notify"),
                                                   "XDG_STATE_HOME": str(self.folder)} | (environment or {})
        self.stored: dict[str, int] = {}
        self.ready = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self.notices, 4096, 16)
            said = dict(line.split("=", 1) for line in message.decode().splitlines() if "=" in line)
            if "FDSTOREREMOVE" in said:
                os.close(self.stored.pop(said["FDNAME"]))
            elif descriptors:
                self.stored[said["FDNAME"]] = descriptors[0]
            if said.get("READY") == "1":
                self.ready.set()

    def start(self) -> float:
        """Seconds from exec to READY."""
        self.ready.clear()
        names = sorted(self.stored)
        # LISTEN_PID is the daemon's own number: a shell writes it and becomes the daemon.
        command = [str(word) for word in (self.programs.zimaged, "--config", self.folder / "zimaged.toml", "--socket",
                                          self.socket, *self.arguments)]
        kept = {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)} if names else {}
        script = 'LISTEN_PID=$$ exec "$@"' if names else 'exec "$@"'
        began = time.perf_counter()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["sh", "-c", script, "sh", *command], env=self.environment | kept, stdout=log,
                                            stderr=log, close_fds=False, preexec_fn=lambda: self.hand_over(names))
        if not self.ready.wait(TIMEOUT):
            sys.exit(f"crashes.py: zimaged is not ready: {self.words()[-300:]}")
        return time.perf_counter() - began

    def hand_over(self, names: list[str]) -> None:
        """In the child: the stored descriptors from 3 on, and no others."""
        high = [os.dup2(self.stored[name], 200 + place) for place, name in enumerate(names)]
        for place, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + place)
        os.closerange(3 + len(names), 1024)

    def words(self) -> str:
        return self.log.read_text(errors="replace")

    def has_read(self) -> bool:
        """Whether the present worker read its weights from the checkpoint, as `zimg status` says."""
        return self.status()["weights"]["from"] == "checkpoint"

    def status(self) -> dict:
        command = [self.programs.zimg, "--socket", self.socket, "status", "--json"]
        return json.loads(subprocess.run(command, env=self.environment, capture_output=True, text=True).stdout.splitlines()[-1])

    def draw(self, out: Path, after_step=None) -> float:
        """Seconds for an image; calls `after_step` after its third step."""
        command = [self.programs.zimg, "--socket", self.socket, "draw", PROMPT, "--seed", SEED, "--size", SIZE, "--force",
                   "--json", "-o", out]
        began = time.perf_counter()
        ran = subprocess.Popen([str(word) for word in command], env=self.environment, stdout=subprocess.PIPE, text=True)
        for line in ran.stdout:
            event = json.loads(line)
            if after_step and event["event"] == "step" and event["step"] == 3:
                after_step()
                after_step = None
        if ran.wait() != 0:
            sys.exit(f"crashes.py: zimg ended with {ran.returncode}: {self.words()[-600:]}")
        return time.perf_counter() - began

    def stop(self, sign: int = signal.SIGTERM) -> None:
        self.process.send_signal(sign)
        self.process.wait()

    def forget(self) -> None:
        """As a manager that stops a service for good."""
        for descriptor in self.stored.values():
            os.close(descriptor)
        self.stored = {}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--libtorch", type=Path)
    parser.add_argument("--faulty", type=Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def killed(service: Service, folder: Path, found: dict) -> None:
    """The worker is killed after the third step; the image comes all the same."""
    plain = [service.draw(folder / "plain.ppm") for _ in range(4)][1:]
    undisturbed = statistics.median(plain)
    found["undisturbed_s"], found["killed_s"] = undisturbed, []
    for number in range(3):
        took = service.draw(folder / "killed.ppm", lambda: os.kill(service.status()["worker"]["pid"], signal.SIGKILL))
        found["killed_s"].append(took)
        same = (folder / "killed.ppm").read_bytes() == (folder / "plain.ppm").read_bytes()
        read = service.has_read()
        say(found, f"worker killed, {number + 1}: {took - undisturbed:.2f} s beyond {undisturbed:.2f} s, "
                   f"{'the same image' if same else 'ANOTHER IMAGE'}, weights {'READ AGAIN' if read else 'retained'}",
            same and not read and took - undisturbed <= EXTRA)


def say(found: dict, words: str, well: bool) -> None:
    print(f"crashes: {words}{'' if well else ': NOT AS PROMISED'}", flush=True)
    found.setdefault("checks", []).append({"what": words, "well": well})


def main() -> int:
    args = arguments()
    programs = Programs(args.bin.resolve(), args.libtorch)
    model = ["--model", Path(args.checkpoint).resolve(), "--device", args.device, "--warmup", SIZE]
    found: dict = {}
    folder = Path(tempfile.mkdtemp(prefix="zimg-crash-images-"))
    service = Service(programs, model)
    found["cold_start_s"] = service.start()
    if not service.has_read():
        sys.exit("crashes.py: the first worker did not read the checkpoint, so later ones cannot be told from it")
    killed(service, folder, found)

    found["restart_s"] = []
    for _ in range(3):
        service.stop()
        ready = service.start()
        read = service.has_read()
        found["restart_s"].append(ready)
        say(found, f"restarted, ready after {ready:.2f} s, weights {'READ AGAIN' if read else 'retained'}",
            not read and ready <= RESTART)
    service.draw(folder / "restarted.ppm")
    same = (folder / "restarted.ppm").read_bytes() == (folder / "plain.ppm").read_bytes()
    say(found, f"after the restart {'the same image' if same else 'ANOTHER IMAGE'}", same)

    # The weights of a daemon that is killed and not restarted are retained by no process.
    service.forget()
    before = float(smi("memory.used") or 0)
    service.process.kill()
    began = time.perf_counter()
    while float(smi("memory.used") or 0) > before / 10 and time.perf_counter() - began < 30:
        time.sleep(0.02)
    free = time.perf_counter() - began
    found["free_s"] = free
    say(found, f"daemon killed, {before / 1024:.1f} GiB of GPU memory free after {free:.2f} s", free <= FREE)
    service.process.wait()

    if args.faulty:
        # The first worker strikes, those after it do not.
        script = folder / "worker"
        script.write_text(f'''#!/bin/sh
if [ ! -e "{folder}/struck" ]; then
  touch "{folder}/struck"
  export ZIMG_FAULTS=address@step:3
fi
exec "{args.faulty.resolve()}" "$@"
''')
        script.chmod(0o755)
        service = Service(programs, [*model, "--worker", script])
        service.start()
        took = service.draw(folder / "address.ppm")
        same = (folder / "address.ppm").read_bytes() == (folder / "plain.ppm").read_bytes()
        read = service.has_read()
        found["illegal_address_s"] = took
        say(found, f"illegal address: the image after {took:.2f} s ({found['undisturbed_s']:.2f} s undisturbed), "
                   f"{'the same' if same else 'ANOTHER'}, weights {'READ AGAIN' if read else 'retained'}",
            same and not read and took - found["undisturbed_s"] <= EXTRA)
        service.stop()
        if not same:
            print(service.words()[-2000:])
    print(json.dumps(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(check["well"] for check in found["checks"]) else 1


if __name__ == "__main__":
    sys.exit(main())
