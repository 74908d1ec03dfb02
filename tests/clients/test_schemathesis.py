"""schemathesis against the OpenAPI document of /v1: no answer outside the schema, no server error."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

from service import TOP, FrontCase

DOCUMENT = TOP / "crates/zimg-web/src/openai/openapi.json"
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "30")


class Fuzzed(FrontCase):
    def test_no_answer_is_outside_the_document(self) -> None:
        self.start("slow:0")
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        command = [
            Path(sys.executable).with_name("schemathesis"), "run", DOCUMENT, "--url", f"{self.front.url}/v1",
            "--checks", checks, "--max-examples", EXAMPLES, "--seed", "1", "--request-timeout", "30",
            # 501 is a server error by its number, and this route has no other answer.
            "--exclude-path", "/images/variations",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=self.daemon.folder)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])


if __name__ == "__main__":
    unittest.main()
