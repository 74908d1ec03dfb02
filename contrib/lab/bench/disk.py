"""A checkpoint's files and the page cache: filling it, dropping it, looking into it, and the disk's speed without it."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 4 << 20
THREADS = 12


def weights(checkpoint: Path) -> list[Path]:
    """The files that hold tensors."""
    return sorted(checkpoint.glob("*/*.safetensors"))


def size(files: list[Path]) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in files)


def fill(files: list[Path]) -> None:
    """Reads all files once, so that they lie in the page cache as far as it has room."""

    def read(file: Path) -> None:
        buffer = bytearray(BLOCK)
        with open(file, "rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(read, files))


def drop(files: list[Path]) -> None:
    """Asks the kernel to forget the files. Dirty pages cannot be dropped, so they are written first."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def resident(files: list[Path]) -> float:
    """The share of the files' pages that lie in the page cache, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    pages = found = 0
    for file in files:
        length = file.stat().st_size
        if length == 0:
            continue
        with open(file, "rb") as opened, mmap.mmap(opened.fileno(), length, access=mmap.ACCESS_COPY) as mapped:
            count = -(-length // mmap.PAGESIZE)
            answer = (ctypes.c_ubyte * count)()
            start = ctypes.c_char.from_buffer(mapped)
            try:
                if libc.mincore(ctypes.addressof(start), length, answer) != 0:
                    raise OSError(ctypes.get_errno(), "mincore failed", str(file))
            finally:
                del start
            pages += count
            found += bytes(answer).translate(LOWEST_BIT).count(1)
    return found / pages if pages else 0.0


# The other bits of mincore's bytes are undefined.
LOWEST_BIT = bytes(value & 1 for value in range(256))


def direct_speed(files: list[Path], seconds: float) -> float:
    """Bytes a second with O_DIRECT, 12 threads and 4 MiB blocks, reading whole blocks for at most so long."""
    blocks = [(file, at) for file in files for at in range(0, file.stat().st_size // BLOCK * BLOCK, BLOCK)]
    if not blocks:
        raise OSError("the files are smaller than a block")
    lock, done = threading.Lock(), 0
    waiting = iter(blocks)
    began = time.perf_counter()

    def read() -> None:
        nonlocal done
        # An anonymous mapping begins on a page, as O_DIRECT wants it.
        with mmap.mmap(-1, BLOCK) as buffer:
            current, descriptor = None, -1
            try:
                while time.perf_counter() - began < seconds:
                    with lock:
                        block = next(waiting, None)
                    if block is None:
                        return
                    if block[0] != current:
                        if descriptor >= 0:
                            os.close(descriptor)
                        current, descriptor = block[0], os.open(block[0], os.O_RDONLY | os.O_DIRECT)
                    got = os.preadv(descriptor, [buffer], block[1])
                    with lock:
                        done += got
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    with ThreadPoolExecutor(THREADS) as pool:
        for task in [pool.submit(read) for _ in range(THREADS)]:
            task.result()
    return done / (time.perf_counter() - began)
