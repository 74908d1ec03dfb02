"""Tests of the table, and of run.sh with suites that are stand-ins."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import table
from table import Row, claim, merge, page, read_page, read_run, specification

HERE = Path(__file__).resolve().parent
# Heavy suites whose targets do not say so in their names.
ALONE = ("units", "soak", "fuzz", "deny", "parity", "bench")


def row(suite: str = "units", verdict: str = "passed", commit: str = "abc123456", note: str = "fine") -> Row:
    return Row(suite, verdict, 3, commit, "2026-01-02", note, "2 cores, no GPU, x86_64")


class Table(unittest.TestCase):
    def test_a_page_is_read_as_it_was_written(self) -> None:
        rows = [row(suite, verdict) for suite, verdict in zip(table.SUITES, itertools.cycle(table.VERDICTS))]
        self.assertEqual(len(rows), len(table.SUITES))
        self.assertEqual(read_page(page(rows)), rows)

    def test_a_suite_that_was_not_part_of_a_run_keeps_its_row(self) -> None:
        before = [row("units"), row("gpu", commit="000000001")]
        after = merge(before, [row("units", "FAILED", "fff000000", "status 1, see /a/log")])
        self.assertEqual([(one.suite, one.verdict, one.commit) for one in after],
                         [("units", "FAILED", "fff000000"), ("gpu", "passed", "000000001")])
        self.assertNotIn("/a/log", page(after))

    def test_not_run_replaces_no_run(self) -> None:
        for verdict in ("passed", "partly", "FAILED"):
            self.assertEqual(merge([row("gpu", verdict)], [row("gpu", "not run")]), [row("gpu", verdict)])
        again = row("gpu", "not run", "fff000000")
        self.assertEqual(merge([row("gpu", "not run")], [again]), [again])

    def test_a_run_without_rows_or_with_others_is_refused(self) -> None:
        for text in ("", "unit\tpassed\t1\tabc\t2026-01-02\tfine", "units\tok\t1\tabc\t2026-01-02\tfine"):
            with self.assertRaises(ValueError):
                read_run(text, "")

    def test_files_that_are_not_committed_are_no_row_of_the_page(self) -> None:
        text = "units\tpassed\t1\tabc-dirty\t2026-01-02\tfine"
        self.assertEqual(len(read_run(text, "")), 1)
        with self.assertRaises(ValueError):
            read_run(text, "", of_page=True)

    def test_the_specification_says_what_the_rows_say(self) -> None:
        text = "| suite | runs | last |\n| units | `make units` | passed at `old` |\n| gpu | `make gpu-test` | ? |\n| units | other | x |"
        after = specification(text, [row("units", "FAILED", "fff000000")])
        self.assertEqual(after.split("\n")[1:], ["| units | `make units` | failed at `fff000000` |",
                                                 "| gpu | `make gpu-test` | not run |", "| units | other | x |"])

    def test_a_claim_is_no_more_than_the_row(self) -> None:
        self.assertEqual([claim(row(verdict=verdict)) for verdict in table.VERDICTS],
                         ["passed at `abc123456`", "partly at `abc123456`", "not run", "failed at `abc123456`"])

    def test_the_suites_are_those_of_the_script(self) -> None:
        script = (HERE / "run.sh").read_text()
        self.assertEqual(re.findall(r"^suite (\w+) ", script, re.MULTILINE), list(table.SUITES))

    def test_every_heavy_target_of_the_makefile_is_a_suite(self) -> None:
        targets = re.findall(r"^([a-z-]+):", (HERE.parents[2] / "Makefile").read_text(), re.MULTILINE)
        heavy = {f"make {target}" for target in targets if target.endswith(("-test", "-load")) or target in ALONE}
        self.assertEqual(heavy, set(table.SUITES.values()))


class Run(unittest.TestCase):
    """run.sh in a repository of its own, in which each suite is a stand-in."""

    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        for script in re.findall(r"(?:contrib|tests)/\S+\.sh", (HERE / "run.sh").read_text()):
            self.stand_in(script, "exit 69")
        shutil.copytree(HERE, self.root / "contrib/dev/verify", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "docs").mkdir()
        (self.root / "docs/specification.md").write_text("| units | `make units` | not run |\n")
        (self.root / ".gitignore").write_text("target\n__pycache__\n")
        self.git("init", "--quiet")
        self.commit()

    def stand_in(self, script: str, body: str) -> None:
        path = self.root / script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        return subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "test")
        return self.git("rev-parse", "--short=9", "HEAD").strip()

    def verify(self, suites: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "SUITES": suites, "PYTHONDONTWRITEBYTECODE": "1", "VERIFY_LIMIT": os.environ.get("LIMIT", "60")}
        environment.pop("CARGO_TARGET_DIR", None)
        return subprocess.run([self.root / "contrib/dev/verify/run.sh"], env=environment, capture_output=True, text=True)

    def verdict(self, body: str) -> tuple[int, str, str]:
        """The status of run.sh, and the verdict and note of the suite "units" with this body."""
        self.stand_in("contrib/packaging/units.sh", body)
        ran = self.verify("units")
        cells = (self.root / "target/verify/table.tsv").read_text().rstrip("\n").split("\t")
        return ran.returncode, cells[1], cells[5]

    def test_each_end_has_its_verdict(self) -> None:
        for body, expected in (
            ("echo 'units: no fault'", (0, "passed", "no fault")),
            ("echo 'units: no fault'; exit 3", (1, "FAILED", "status 3, see target/verify/units.log")),
            ("echo 'units: not run: no systemd' >&2; exit 69", (0, "not run", "no systemd")),
            ("echo 'units: not all'; exit 75", (0, "partly", "not all")),
        ):
            self.assertEqual(self.verdict(body), expected, body)

    def test_a_suite_that_hangs_has_failed(self) -> None:
        with unittest.mock.patch.dict(os.environ, LIMIT="0.2"):
            status, verdict, note = self.verdict("exec sleep 60")
        self.assertEqual((status, verdict, note), (1, "FAILED", "not over after 0.2 s, see target/verify/units.log"))

    def test_a_suite_that_says_nothing_has_not_passed(self) -> None:
        for body in ("exit 0", "echo 'running 0 tests'", "echo 'units: no fault'; echo 'and then nothing'"):
            status, verdict, _ = self.verdict(body)
            self.assertEqual((status, verdict), (1, "FAILED"), body)

    def test_the_page_names_the_commit_that_was_verified(self) -> None:
        self.stand_in("contrib/packaging/units.sh", "echo 'units: no fault'")
        commit = self.commit()
        self.assertEqual(self.verify("units").returncode, 0)
        (found,) = read_page((self.root / "docs/verified.md").read_text())
        self.assertEqual((found.suite, found.verdict, found.commit), ("units", "passed", commit))
        self.assertIn(f"passed at `{commit}`", (self.root / "docs/specification.md").read_text())
        # The table does not make the tree another one.
        self.assertEqual(self.verify("disks").returncode, 0)
        self.assertEqual([one.commit for one in read_page((self.root / "docs/verified.md").read_text())], [commit, commit])

    def test_what_is_not_committed_is_not_on_the_page(self) -> None:
        self.stand_in("contrib/packaging/units.sh", "echo 'units: no fault'")
        self.assertIn("not committed", self.verify("units").stderr)
        self.assertFalse((self.root / "docs/verified.md").exists())
        self.assertIn("-dirty\t", (self.root / "target/verify/table.tsv").read_text())

    def test_two_runs_do_not_share_a_table(self) -> None:
        self.verify("disks")
        with open(self.root / "target/verify/lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.verify("disks").returncode, 69)

    def test_no_suite_is_not_all_suites_passed(self) -> None:
        self.assertEqual(self.verify("unitz").returncode, 64)


if __name__ == "__main__":
    unittest.main()
