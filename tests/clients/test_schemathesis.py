"""schemathesis against the OpenAPI documents of /v1 and /zimg/v1: no answer outside the schema, no server error."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

from service import TOP, FrontCase

SOURCES = TOP / "crates/zimg-web/src"
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "30")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Fuzzed(FrontCase):
    def run_on(self, document: str, base: str, *excluded: str) -> None:
        self.start("slow:0")
        command = [
            Path(sys.executable).with_name("schemathesis"), "run", SOURCES / document, "--url", f"{self.front.url}{base}",
            "--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "1", "--request-timeout", "30",
        ]
        for path in excluded:
            command += ["--exclude-path", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=self.daemon.folder)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])

    def test_no_answer_of_openais_api_is_outside_the_document(self) -> None:
        # 501 is a server error by its number, and this route has no other answer.
        self.run_on("openai/openapi.json", "/v1", "/images/variations")

    def test_no_answer_of_zimgs_api_is_outside_the_document(self) -> None:
        # These streams have no end.
        self.run_on("ours/openapi.json", "/zimg/v1", "/events", "/jobs/{id}/events")


if __name__ == "__main__":
    unittest.main()
