#!/usr/bin/env python3
"""The table of the heavy suites: shows the rows of a run, and merges them into docs/verified.md and docs/specification.md.

usage: table.py show TSV | write TSV

A row is: suite, verdict, seconds, commit, date, note. A suite that was not part of the run keeps its row. So does one
that could not be run here and has run elsewhere: *not run* says nothing about an earlier commit.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/verified.md"
SPECIFICATION = ROOT / "docs/specification.md"
# In the order of run.sh; each with the target that runs it alone.
SUITES = {
    "units": "make units",
    "disks": "make disk-test",
    "hub": "make hub-test",
    "users": "make users-test",
    "limits": "make limits-test",
    "systemd": "make systemd-test",
    "web": "make web-test",
    "page": "make page-test",
    "proxy": "make web-proxy-test",
    "load": "make web-load",
    "soak": "make soak",
    "fuzz": "make fuzz",
    "deny": "make deny",
    "nvrtc": "make nvrtc-test",
    "parity": "make parity",
    "bench": "make bench",
    "gpu": "make gpu-test",
}
VERDICTS = ("passed", "partly", "not run", "FAILED")
HEAD = """# Verified

What `make verify` said last of each heavy suite, written by it and never by hand. *commit* is what was verified; this
page was committed after it. *partly*: what could not be checked is in the last column. *not run*: what is missing is
there. A suite that a machine cannot run keeps the row of the machine that could.

| suite | verdict | commit | date | time | machine | result |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    suite: str
    verdict: str
    seconds: int
    commit: str
    date: str
    note: str
    machine: str = ""

    @property
    def cells(self) -> list[str]:
        note = self.note.replace("|", "/")
        return [self.suite, self.verdict, f"`{self.commit}`", self.date, f"{self.seconds} s", self.machine, note]


def machine() -> str:
    """In words: "2 cores, no GPU"."""
    gpu = "an NVIDIA GPU" if os.path.exists("/dev/nvidiactl") else "no GPU"
    return f"{len(os.sched_getaffinity(0))} cores, {gpu}, {platform.machine()}"


def read_run(text: str, of: str, of_page: bool = False) -> list[Row]:
    """The rows that run.sh has written; those for the page are of a commit."""
    rows = []
    for line in text.splitlines():
        suite, verdict, seconds, commit, date, note = line.split("\t")
        if suite not in SUITES or verdict not in VERDICTS:
            raise ValueError(f"table.py: `{suite}` with verdict `{verdict}` is no row of a suite")
        if of_page and commit.endswith("-dirty"):
            raise ValueError(f"table.py: {suite} ran at {commit}, which is no commit")
        rows.append(Row(suite, verdict, int(seconds), commit, date, note, of))
    if not rows:
        raise ValueError("table.py: the run has no rows")
    return rows


def read_page(text: str) -> list[Row]:
    """The rows of docs/verified.md."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] in SUITES:
            suite, verdict, commit, date, time, of, note = cells
            rows.append(Row(suite, verdict, int(time.removesuffix(" s")), commit.strip("`"), date, note, of))
    return rows


def merge(before: list[Row], run: list[Row]) -> list[Row]:
    """The rows of the page after a run."""
    rows = {row.suite: row for row in before}
    for row in run:
        known = rows.get(row.suite)
        if row.verdict == "not run" and known and known.verdict != "not run":
            continue
        if row.verdict == "FAILED":
            row = replace(row, note="see the log of the run")
        rows[row.suite] = row
    return [rows[suite] for suite in SUITES if suite in rows]


def page(rows: list[Row]) -> str:
    return HEAD + "".join("| " + " | ".join(row.cells) + " |\n" for row in rows)


def claim(row: Row | None) -> str:
    """What docs/specification.md may say of a suite."""
    if row is None or row.verdict == "not run":
        return "not run"
    if row.verdict == "FAILED":
        return f"failed at `{row.commit}`"
    return f"{row.verdict} at `{row.commit}`"


def specification(text: str, rows: list[Row]) -> str:
    """The page with the last column of its table of suites set to what the rows say."""
    known = {row.suite: row for row in rows}
    lines = text.split("\n")
    for number, line in enumerate(lines):
        found = re.fullmatch(r"\| (\w+) \| (.*) \| [^|]* \|", line)
        if found and found[1] in SUITES and f"`{SUITES[found[1]]}`" in found[2]:
            lines[number] = f"| {found[1]} | {found[2]} | {claim(known.get(found[1]))} |"
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in ("show", "write"):
        print(__doc__, file=sys.stderr)
        return 64
    run = read_run(Path(arguments[1]).read_text(), machine(), arguments[0] == "write")
    if arguments[0] == "show":
        print(f"{'suite':8} {'verdict':8} {'time':>7}  closing line, or what is missing to run it")
        for row in run:
            print(f"{row.suite:8} {row.verdict:8} {row.seconds:5} s  {row.note[:140]}")
        return 0
    rows = merge(read_page(PAGE.read_text()) if PAGE.exists() else [], run)
    PAGE.write_text(page(rows))
    SPECIFICATION.write_text(specification(SPECIFICATION.read_text(), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
