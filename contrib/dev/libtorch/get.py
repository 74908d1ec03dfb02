#!/usr/bin/env python3
"""Gives the build a libtorch 2.11.0 and links it as `.libtorch` at the top of the repository.

LIBTORCH is used where it is set. Else libtorch is brought once into a cache of the user's that all
builds share: the CUDA tree (3.6 GB) where an NVIDIA GPU is found or --cuda asks for it, else a CPU
cut (0.5 GB). Interrupted, it goes on; two at once wait for each other; nothing half done is seen.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import platform
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fetch import Refused, check, fetch, opener
from trouble import CONFIG, IO, UNAVAILABLE, Trouble
from unpack import unpack
from wheels import Pip, Wheel, read_lock

VERSION = "2.11.0"  # what tch 0.24 is written for
HERE = Path(__file__).resolve().parent
LINK = HERE.parents[2] / ".libtorch"
OLDEST_DRIVER = 580  # the first NVIDIA driver for CUDA 13


@dataclass(frozen=True)
class Cut:
    """One form of libtorch; `unpacked` in bytes."""

    name: str
    lock: Path
    unpacked: int


CPU = Cut("cpu", HERE / "cpu.txt", 530_000_000)
CUDA = Cut("cu130", HERE / "cu130.txt", 3_900_000_000)


def say(sentence: str) -> None:
    print(f"libtorch: {sentence}", file=sys.stderr, flush=True)


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/zimg`, by default `~/.cache/zimg`; in the repository for users without a home."""
    xdg, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if os.path.isabs(xdg):
        return Path(xdg) / "zimg"
    base = Path(home) if os.path.isabs(home) and os.path.isdir(home) else LINK.parent
    return base / ".cache" / "zimg"


def version_of(libtorch: Path) -> str | None:
    """The version of the libtorch in a folder by its headers, None where there is none to build with."""
    if not (libtorch / "lib" / "libtorch_cpu.so").exists():
        return None
    for header in ("headeronly/version.h", "version.h", "csrc/api/include/torch/version.h"):
        path = libtorch / "include" / "torch" / header
        parts = re.findall(r"#define TORCH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", path.read_text()) if path.exists() else []
        if len(parts) == 3:
            return ".".join(parts)
    return None


def users_own() -> Path | None:
    """The libtorch that LIBTORCH names, checked; None where it is unset (cargo sets it to our link)."""
    named = os.environ.get("LIBTORCH", "")
    if not named or os.path.abspath(named) == str(LINK):
        return None
    version = version_of(Path(named))
    if version is None:
        raise Trouble(CONFIG, f"LIBTORCH={named} has no lib/libtorch_cpu.so or no include folder: point it at a libtorch {VERSION} or unset it")
    if version != VERSION:
        raise Trouble(CONFIG, f"LIBTORCH={named} is libtorch {version}, but {VERSION} is needed: point it there or unset it")
    return Path(named).resolve()


def has_gpu() -> bool:
    """Whether an NVIDIA GPU with a driver new enough for CUDA 13 is here."""
    if not Path("/dev/nvidiactl").exists():
        return False
    try:
        driver = Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return True
    if int(driver.split(".")[0]) >= OLDEST_DRIVER:
        return True
    say(f"the NVIDIA driver {driver} is older than {OLDEST_DRIVER}, which CUDA 13 needs: taking the CPU's (--cuda overrules)")
    return False


@contextmanager
def alone(path: Path):
    """Holds a lock file, so that two builds do not download the same thing at once."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is bringing it; waiting for that")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def need_space(directory: Path, wheels: list[Wheel], cut: Cut) -> None:
    downloads = sum(wheel.size for wheel in wheels if not (directory / wheel.file).exists())
    needed, free = downloads + cut.unpacked, shutil.disk_usage(directory).free
    if free < needed:
        raise Trouble(IO, f"{directory} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed: make room or set XDG_CACHE_HOME to a larger disk")


def obtain(wheels: list[Wheel], directory: Path) -> None:
    """Brings the wheels that `directory` lacks, each with its hash checked."""
    missing = [wheel for wheel in wheels if not (directory / wheel.file).exists()]
    if not missing:
        return
    pip = Pip(directory / "venv")
    urls = pip.locate(missing)
    if urls is None:
        say("this pip is older than 22.2, so an interrupted download would start over")
    opened = opener(pip.setting("cert"), pip.setting("proxy"))
    for wheel in missing:
        part = directory / (wheel.file + ".part")
        url = (urls or {}).get(wheel.file)
        try:
            if url is None:
                raise Refused("pip names no address")
            fetch(url, part, wheel.size, wheel.requirement, opened)
        except Refused:
            # An index with a password, say: pip knows how, only not how to go on.
            say(f"{wheel.requirement}: {wheel.size / 1e6:.0f} MB, through pip")
            apart = directory / "pip"
            pip.download(wheel, apart)
            os.replace(apart / wheel.file, part)
        check(part, wheel.sha256, wheel.requirement)
        os.replace(part, directory / wheel.file)


def bring(cut: Cut, cache: Path) -> Path:
    """The `torch` folder of this cut in the cache, brought there if it is not."""
    home = cache / f"libtorch-{VERSION}-{cut.name}"
    if home.exists():  # it appears whole or not at all
        return home / "torch"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Trouble(UNAVAILABLE, f"this script brings libtorch for Linux on x86_64 only: set LIBTORCH to a libtorch {VERSION} for {platform.system()} on {platform.machine()}")
    downloads = cache / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    with alone(cache / "libtorch.lock"):
        if home.exists():
            return home / "torch"
        wheels = read_lock(cut.lock)
        need_space(downloads, wheels, cut)
        say(f"bringing {VERSION} ({cut.name}, {sum(wheel.size for wheel in wheels) / 1e6:.0f} MB to download) into {home}")
        obtain(wheels, downloads)
        new = cache / f"{home.name}.new"
        shutil.rmtree(new, ignore_errors=True)
        say("unpacking")
        for wheel in wheels:
            unpack(downloads / wheel.file, cut.name, new)
        (new / "torch" / "build-version").write_text(VERSION + "\n")  # torch-sys checks it
        os.sync()  # so that a power cut cannot leave the name without the contents
        os.rename(new, home)
        for wheel in wheels:
            (downloads / wheel.file).unlink()
    return home / "torch"


def link(target: Path) -> None:
    """Points `.libtorch` at `target` in one step."""
    if LINK.is_dir() and not LINK.is_symlink():
        raise Trouble(CONFIG, f"{LINK} is a folder and should be a link: move it away, or set LIBTORCH to it under another name")
    fresh = LINK.with_name(f".libtorch.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, LINK)


def choose(variant: str | None) -> Path:
    """The libtorch to build with: the user's, the one linked already where it serves, or one from the cache."""
    own = users_own()
    if own is not None:
        return own
    cuda = variant == "cuda" or (variant is None and has_gpu())
    if variant is None and version_of(LINK) == VERSION and (not cuda or (LINK / "lib" / "libtorch_cuda.so").exists()):
        return LINK.resolve()
    return bring(CUDA if cuda else CPU, cache_directory())


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    variant = parser.add_mutually_exclusive_group()
    variant.add_argument("--cuda", dest="variant", action="store_const", const="cuda", help="download the CUDA tree whether or not a GPU is here")
    variant.add_argument("--cpu", dest="variant", action="store_const", const="cpu", help="download the CPU cut whether or not a GPU is here")
    target = choose(parser.parse_args(arguments).variant)
    if not LINK.is_symlink() or LINK.resolve() != target:
        link(target)
    say(f"{VERSION} at {target}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Trouble as trouble:
        say(str(trouble))
        sys.exit(trouble.code)
    except KeyboardInterrupt:
        say("stopped; run it again to go on")
        sys.exit(130)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room or set XDG_CACHE_HOME to a larger disk" if full else "set XDG_CACHE_HOME to a place that can be written"
        say(f"{error.filename or 'the cache'}: {error.strerror}: {hint}")
        sys.exit(IO)
