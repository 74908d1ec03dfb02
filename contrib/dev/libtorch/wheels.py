"""Which wheels, exactly, and where the user's pip finds them.

The lock files name every wheel with its hash. Where wheels lie is pip's business: indexes,
mirrors, proxies and certificates are configured there, so no host is named in this project.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trouble import UNAVAILABLE, Trouble

PYTHON_VERSION = "3.12"  # of the locked torch wheel; the machine's own Python may be another
LINE = re.compile(
    r"(?P<name>[\w-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})  # (?P<file>\S+\.whl) (?P<size>\d+)"
)


@dataclass(frozen=True)
class Wheel:
    """One line of a lock file; `size` in bytes."""

    name: str
    version: str
    sha256: str
    file: str
    size: int

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def platforms(self) -> list[str]:
        """The platform tags of the file name, for pip's --platform."""
        return self.file[: -len(".whl")].rsplit("-", 1)[1].split(".")


def read_lock(path: Path) -> list[Wheel]:
    """The wheels of a lock file; a line that is neither comment nor wheel is a mistake of ours."""
    wheels = []
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path.name}: cannot read this line: {line}")
        fields = match.groupdict()
        wheels.append(Wheel(fields["name"], fields["version"], fields["sha256"], fields["file"], int(fields["size"])))
    return wheels


class Pip:
    """The user's pip: this Python's own, one on PATH, or one in a venv made for the purpose."""

    def __init__(self, venv: Path):
        self.command = self._find(venv)

    @staticmethod
    def _find(venv: Path) -> list[str]:
        candidates = [[sys.executable, "-m", "pip"]]
        candidates += [[path] for path in (shutil.which("pip3"), shutil.which("pip")) if path]
        candidates += [[str(venv / "bin" / "python"), "-m", "pip"]]
        for command in candidates:
            if _works(command):
                return command
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True)
        if made.returncode == 0 and _works(candidates[-1]):
            return candidates[-1]
        raise Trouble(
            UNAVAILABLE,
            f"{sys.executable} has neither pip nor a working venv: install one of them "
            "(on Debian and Ubuntu the package python3-pip or python3-venv), or set LIBTORCH to a libtorch 2.11.0",
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs pip with the user's own configuration; what would make it ask or refuse is set aside."""
        calm = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        return subprocess.run([*self.command, *arguments], env={**os.environ, **calm}, capture_output=True, text=True)

    def setting(self, name: str) -> str | None:
        """A value of the user's pip configuration, such as `cert` or `proxy`."""
        found = re.findall(rf"^\S*\.{name}='(.*)'$", self.run("config", "list").stdout, re.MULTILINE)
        return found[-1] if found else None

    def locate(self, wheels: list[Wheel]) -> dict[str, str] | None:
        """The address of each wheel by file name, or None where this pip (before 22.2) cannot say.

        A dry run tells addresses without fetching; `fast-deps` reads only the metadata of a wheel
        where the index does not serve it apart.
        """
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report.json"
            arguments = ["install", "--dry-run", "--ignore-installed", "--quiet", f"--report={report}"]
            arguments += [f"--target={scratch}/none", *_selection(wheels)]
            done = self.run(*arguments, "--use-feature=fast-deps")
            if done.returncode == 2:  # pip's own usage error: an option that this version lacks
                return None
            if done.returncode != 0:
                raise Trouble(UNAVAILABLE, f"pip cannot find what libtorch is made of: {reason(done.stderr)}")
            entries = json.loads(report.read_text())["install"]
        urls = [entry["download_info"]["url"] for entry in entries]
        by_file = {url.split("#")[0].rsplit("/", 1)[1]: url for url in urls}
        return {wheel.file: by_file[wheel.file] for wheel in wheels if wheel.file in by_file}

    def download(self, wheel: Wheel, directory: Path) -> None:
        """Lets pip fetch a wheel itself into `directory`: works wherever pip does, but starts over when interrupted."""
        done = self.run("download", "--quiet", f"--dest={directory}", *_selection([wheel]))
        if done.returncode != 0 or not (directory / wheel.file).exists():
            raise Trouble(UNAVAILABLE, f"pip could not download {wheel.requirement}: {reason(done.stderr)}")


def reason(text: str) -> str:
    """The first line that pip calls an error (later ones repeat it), or the last line it wrote."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line[len("ERROR: ") :] for line in lines if line.startswith("ERROR: ")]
    first = (errors or lines[-1:] or ["it gave no reason"])[0]
    if "(from versions: none)" in first:  # what pip says of a package when no index answers
        return f"no index answers it; is there a network, and does 'pip config list' name the right index? ({first})"
    return first


def _selection(wheels: list[Wheel]) -> list[str]:
    platforms = sorted({platform for wheel in wheels for platform in wheel.platforms})
    options = ["--no-deps", "--only-binary=:all:", f"--python-version={PYTHON_VERSION}", "--implementation=cp"]
    return [*options, *(f"--platform={p}" for p in platforms), *(wheel.requirement for wheel in wheels)]


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run([*command, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False
