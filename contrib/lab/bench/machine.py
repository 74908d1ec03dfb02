"""The machine: what it is, and how much GPU memory is in use."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import threading
from datetime import datetime, timezone
from pathlib import Path

PACKAGES = ["torch", "diffusers", "transformers", "torchao"]


def smi(field: str) -> str | None:
    """What nvidia-smi says of the first GPU; None without one."""
    command = ["nvidia-smi", "--id=0", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit(root: Path) -> str | None:
    """The commit that the scripts are of; None outside a checkout."""
    asked = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return asked.stdout.strip() or None


def describe(gpu: bool) -> dict:
    """What a reader needs to judge the figures by; what is unknown is left out."""
    facts = {
        "gpu": smi("name") if gpu else None,
        "driver": smi("driver_version") if gpu else None,
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "commit": commit(Path(__file__).parent),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return {key: value for key, value in facts.items() if value is not None}


class MemoryWatch:
    """The most GPU memory in use while it is watched, less what was in use before, as the driver counts it: GiB.

    All processes count: in a container nvidia-smi does not know whose memory it is. Sampled ten times a second, so a
    peak that libtorch's allocator gives back at once can be missed; it keeps what it has by default.
    """

    def __init__(self) -> None:
        used = smi("memory.used")
        self.before = None if used is None else float(used)
        self.most = self.before or 0.0
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> MemoryWatch:
        if self.before is not None:
            command = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "100"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.thread = threading.Thread(target=self.read, daemon=True)
            self.thread.start()
        return self

    def read(self) -> None:
        for line in self.process.stdout:
            if line.strip().isdigit():
                self.most = max(self.most, float(line))

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.thread.join(5)
            self.process.stdout.close()

    @property
    def gib(self) -> float | None:
        """None without an NVIDIA GPU."""
        return None if self.before is None else (self.most - self.before) / 1024
