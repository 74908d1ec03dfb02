"""openai-node and the AI SDK against /v1: images, streams, errors, retries, hanging up."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import unittest
from pathlib import Path
from typing import Any

from PIL import Image

from service import TIMEOUT, BuiltInModelCase, FrontCase, wait_until

HERE = Path(__file__).resolve().parent
# Where `npm install` has put the packages of node/package.json.
INSTALLED = Path(os.environ.get("ZIMG_CLIENTS_NODE", HERE / "node"))


def node(script: str, *words: str) -> Any:
    """Runs a script where its packages are found, and returns what it prints."""
    source = (HERE / "node" / script).read_text()
    command = ["node", "--input-type=module", "-", *words]
    done = subprocess.run(command, input=source, cwd=INSTALLED, capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def size(data: str) -> tuple[int, int]:
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image.size


class BuiltInModel(BuiltInModelCase):
    def test_openai_node(self) -> None:
        self.assertEqual(node("openai.mjs", self.front.url, "models"), ["tiny"])
        answer = node("openai.mjs", self.front.url, "images")
        self.assertEqual([size(image) for image in answer["images"]], [(64, 80)] * 2)
        self.assertEqual(answer["seeds"], [7, 8])
        events = node("openai.mjs", self.front.url, "stream")
        *partial, last = [event["type"].removeprefix("image_generation.") for event in events]
        self.assertEqual((set(partial), last), ({"partial_image"}, "completed"))
        self.assertEqual(events[-1]["image"], answer["images"][0])
        refused = node("openai.mjs", self.front.url, "refused")
        self.assertEqual((refused["name"], refused["param"]), ("BadRequestError", "size"))
        self.assertIn("the nearest valid size is 1008x1008", refused["message"])

    def test_the_ai_sdk(self) -> None:
        images = node("ai-sdk.mjs", self.front.url, "images")
        self.assertEqual([size(image) for image in images], [(64, 80)] * 2)
        refused = node("ai-sdk.mjs", self.front.url, "refused")
        self.assertIn("the nearest valid size is 1008x1008", refused["message"])


class Faults(FrontCase):
    def test_a_job_that_kills_the_worker_is_attempted_once(self) -> None:
        self.start("crash@begin")
        failed = node("openai.mjs", self.front.url, "crash")
        self.assertEqual(failed["status"], 500)
        self.assertEqual(self.daemon.status()["jobs"]["failed"], 1)
        failed = node("openai.mjs", self.front.url, "broken_stream")
        self.assertEqual(failed["name"], "APIError")
        self.assertEqual(self.daemon.status()["jobs"]["failed"], 2)
        self.assertTrue(node("ai-sdk.mjs", self.front.url, "images")["message"])

    def test_hanging_up_cancels(self) -> None:
        self.start("hold@step:2")
        self.assertEqual(node("openai.mjs", self.front.url, "hang_up"), "image_generation.partial_image")
        wait_until("the job is cancelled", lambda: not self.daemon.jobs())


if __name__ == "__main__":
    unittest.main()
