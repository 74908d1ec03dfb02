"""Open WebUI as a whole application: its image engines "openai" and "automatic1111", and its edits."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

from service import FrontCase, free_port, wait_until

SERVER = Path(sys.executable).with_name("open-webui")


class Refused(Exception):
    """A request with the sentence that its page shows."""


class Application:
    """Its server, with one user, who is its administrator."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zimg-clients-"))
        self.port = free_port()
        self.token = ""
        self.log = (self.folder / "log").open("wb")
        # Nothing is fetched: neither models for its search nor lists of other servers' models.
        settings = {
            "HOME": str(self.folder), "DATA_DIR": str(self.folder / "data"), "WEBUI_SECRET_KEY": "of a test",
            "OFFLINE_MODE": "true", "RAG_EMBEDDING_ENGINE": "openai", "ENABLE_OLLAMA_API": "false",
            "ENABLE_OPENAI_API": "false", "ANONYMIZED_TELEMETRY": "false", "DO_NOT_TRACK": "true",
        }
        environment = {"PATH": os.environ["PATH"]} | settings
        command = [SERVER, "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=self.log, stderr=self.log)
        # It makes its database first.
        wait_until("Open WebUI is ready", self.is_ready, timeout=300)
        self.token = self.ask("auths/signup", name="ann", email="ann@example.org", password="a pass phrase")["token"]

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def read(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """What its page asks of its server."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(json.load(error)["detail"]) from None

    def ask(self, path: str, **body: Any) -> Any:
        return json.loads(self.read(f"/api/v1/{path}", body))

    def refusal(self, path: str, **body: Any) -> str:
        """The sentence that its page shows."""
        try:
            self.ask(path, **body)
        except Refused as refused:
            return refused.args[0]
        raise AssertionError(f"{path} was not refused")

    def configure(self, **changed: Any) -> None:
        """What its administrator sets on the page for images."""
        self.ask("images/config/update", **self.ask_config() | {"ENABLE_IMAGE_GENERATION": True} | changed)

    def ask_config(self) -> dict[str, Any]:
        return json.loads(self.read("/api/v1/images/config"))

    def image(self, stored: dict[str, Any]) -> Image.Image:
        """The image that it has stored."""
        image = Image.open(io.BytesIO(self.read(stored["url"])))
        image.load()
        return image

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class OpenWebUi(FrontCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.application = Application()
        cls.addClassCleanup(cls.application.stop)

    def start(self, mock: str | None = None) -> None:
        super().start(mock, users=("ann",))
        self.key = self.front.keys["ann"]

    def openai(self, **changed: Any) -> None:
        base = {
            "IMAGE_GENERATION_ENGINE": "openai", "IMAGES_OPENAI_API_BASE_URL": f"{self.front.url}/v1",
            "IMAGES_OPENAI_API_KEY": self.key, "IMAGES_OPENAI_API_PARAMS": {}, "IMAGE_SIZE": "128x64",
        }
        self.application.configure(**base | changed)

    def is_made_by_zimg(self, stored: dict[str, Any], size: tuple[int, int], *settings: str) -> Image.Image:
        self.assertEqual(stored["content_type"], "image/png")
        image = self.application.image(stored)
        self.assertEqual((image.format, image.size), ("PNG", size))
        for words in ("a fox\n", *settings):
            self.assertIn(words, image.text["parameters"])
        return image

    def test_the_engine_openai_stores_the_images(self) -> None:
        self.start()
        # Names of its list: for the first it asks for base64, for the second it does not say.
        for model in ("dall-e-2", "gpt-image-1"):
            with self.subTest(model):
                self.openai(IMAGE_GENERATION_MODEL=model)
                one, other = self.application.ask("images/generations", prompt="a fox", n=2)
                first, second = (self.is_made_by_zimg(stored, (128, 64), "Steps: 8") for stored in (one, other))
                self.assertNotEqual(first.tobytes(), second.tobytes())
        # What its administrator adds to each request, and a size of the request's own.
        self.openai(IMAGES_OPENAI_API_PARAMS={"seed": 7, "num_inference_steps": 3})
        (stored,) = self.application.ask("images/generations", prompt="a fox", size="64x80")
        self.is_made_by_zimg(stored, (64, 80), "Steps: 3", "Seed: 7")
        self.assertNotIn(self.key, self.front.said())
        self.assertNotIn("a fox", self.front.said())

    def test_the_engine_automatic1111_stores_the_images(self) -> None:
        self.start()
        auth = f"ann:{self.key}"
        self.assertIs(self.application.ask("images/verify", engine="automatic1111", url=self.front.url, key=auth), True)
        wrong = self.application.refusal("images/verify", engine="automatic1111", url=self.front.url, key="ann:wrong")
        self.assertIn("The URL you provided is invalid", wrong)
        self.application.configure(
            IMAGE_GENERATION_ENGINE="automatic1111", AUTOMATIC1111_BASE_URL=self.front.url, AUTOMATIC1111_API_AUTH=auth,
            IMAGE_GENERATION_MODEL="tiny", IMAGE_SIZE="64x80", IMAGE_STEPS=50,
        )
        models = json.loads(self.application.read("/api/v1/images/models"))
        self.assertEqual([model["name"] for model in models], ["tiny"])
        asked = {"prompt": "a fox", "negative_prompt": "blur", "n": 2, "model": models[0]["id"]}
        stored = self.application.ask("images/generations", **asked)
        self.assertEqual(len(stored), 2)
        for image in stored:
            # Its 50 steps are its own default, and not the model's.
            self.is_made_by_zimg(image, (64, 80), "Negative prompt: blur", "Steps: 8")

    def test_an_edit_starts_from_a_stored_image(self) -> None:
        self.start()
        self.openai()
        self.application.configure(
            ENABLE_IMAGE_EDIT=True, IMAGE_EDIT_ENGINE="openai", IMAGE_EDIT_MODEL="gpt-image-1", IMAGE_EDIT_SIZE="",
            IMAGES_EDIT_OPENAI_API_BASE_URL=f"{self.front.url}/v1", IMAGES_EDIT_OPENAI_API_KEY=self.key,
        )
        (stored,) = self.application.ask("images/generations", prompt="a fox")
        (edited,) = self.application.ask("images/edit", prompt="a fox\nin snow", image=stored["url"])
        before, after = self.application.image(stored), self.is_made_by_zimg(edited, (128, 64), "in snow")
        # Another image of the same subject: nearer to the first than the subject is to another.
        self.assertNotEqual(before.tobytes(), after.tobytes())

    def test_its_page_shows_our_sentences(self) -> None:
        self.start()
        self.openai()
        sentence = self.application.refusal("images/generations", prompt="a fox", size="1000x1000")
        self.assertIn("`size` is 1000x1000, expected auto or WIDTHxHEIGHT", sentence)
        self.openai(IMAGES_OPENAI_API_KEY="wrong")
        self.assertIn("key", self.application.refusal("images/generations", prompt="a fox"))

    def test_a_job_that_kills_the_worker_is_attempted_once(self) -> None:
        self.start("crash@begin")
        self.openai()
        self.assertNotIn("Internal Server Error", self.application.refusal("images/generations", prompt="a fox"))
        self.assertEqual(self.daemon.status()["jobs"]["failed"], 1)


if __name__ == "__main__":
    unittest.main()
