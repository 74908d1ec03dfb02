"""Fetches a file over HTTP so that an interrupted download goes on where it stopped, and checks its hash."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from trouble import DATA, UNAVAILABLE, Trouble

CHUNK = 1 << 20
STEP = 50_000_000  # bytes between two lines of progress where there is no terminal
ATTEMPTS = 5  # in a row without a byte; each byte that arrives resets the count
TIMEOUT = 60.0  # seconds without a byte


class Refused(Exception):
    """The server answers, but not with the file: pip may know a way (credentials, say)."""


class Progress:
    """A moving line on a terminal, a line each STEP bytes elsewhere."""

    def __init__(self, what: str, size: int, start: int, stream=None):
        self.what, self.size, self.start = what, size, start
        self.stream = stream or sys.stderr
        self.moving = self.stream.isatty()
        self.began = time.monotonic()
        self.said = 0.0 if self.moving else start // STEP

    def at(self, done: int) -> None:
        now = time.monotonic()
        due = done == self.size or (now - self.said > 0.2 if self.moving else done // STEP > self.said)
        if due:
            self.said = now if self.moving else done // STEP
            rate = (done - self.start) / max(now - self.began, 1e-3)
            line = f"{self.what}: {done / 1e6:.0f} of {self.size / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s"
            end = "\n" if not self.moving or done == self.size else ""
            self.stream.write(f"\r{line:<70}{end}" if self.moving else line + end)
            self.stream.flush()


def opener(cafile: str | None = None, proxy: str | None = None) -> urllib.request.OpenerDirector:
    """An opener that trusts what the system, the environment and pip's `cert` trust, and uses their proxy."""
    context = ssl.create_default_context()
    for bundle in (cafile, os.environ.get("REQUESTS_CA_BUNDLE"), os.environ.get("CURL_CA_BUNDLE")):
        if bundle and os.path.isfile(bundle):
            context.load_verify_locations(cafile=bundle)
    proxies = {"http": proxy, "https": proxy} if proxy else None
    return urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler(proxies)
    )


def fetch(url: str, path: Path, size: int, what: str, opened=None, pause=time.sleep) -> None:
    """Brings `url`, `size` bytes, into `path`, going on after what `path` already holds."""
    opened = opened or opener()
    failures = 0
    while True:
        before = _held(path, size)
        if before == size:
            return
        try:
            _go_on(opened, url, path, size, before, what)
            reason = "the connection closed early"
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise Refused(f"{error.code} {error.reason}") from error
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        held = _held(path, size)
        failures = 0 if held > before else failures + 1
        if failures == ATTEMPTS:
            raise Trouble(
                UNAVAILABLE,
                f"the network fails while fetching {what} ({reason}); "
                f"{held / 1e6:.0f} of {size / 1e6:.0f} MB are kept, run it again to go on",
            )
        if held < size:
            pause(2.0**failures)


def check(path: Path, sha256: str, what: str) -> None:
    """Removes `path` and refuses when its hash is not `sha256`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        path.unlink()
        raise Trouble(
            DATA,
            f"{what} is not the locked file: its sha256 is {digest.hexdigest()} and should be {sha256}; "
            "it was removed, run it again or look at pip's index settings",
        )


def _held(path: Path, size: int) -> int:
    """Bytes of the file already here; more than there should be is worth nothing."""
    held = path.stat().st_size if path.exists() else 0
    if held > size:
        path.unlink()
        return 0
    return held


def _go_on(opened, url: str, path: Path, size: int, start: int, what: str) -> None:
    headers = {"Accept-Encoding": "identity", "User-Agent": "zimg-libtorch"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with opened.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        # A server that knows no ranges sends everything again.
        continues = answer.status == 206 and (answer.headers["Content-Range"] or "").startswith(f"bytes {start}-")
        start = start if continues else 0
        progress = Progress(what, size, start)
        with path.open("ab" if continues else "wb") as file:
            done = start
            while done < size:
                chunk = answer.read(min(CHUNK, size - done))
                if not chunk:
                    return
                file.write(chunk)
                done += len(chunk)
                progress.at(done)
