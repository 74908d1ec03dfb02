"""SillyTavern as a whole application: its image sources "SD WebUI" and "stable-diffusion.cpp"."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

from service import FrontCase, free_port, wait_until

HERE = Path(__file__).resolve().parent
INSTALLED = Path(os.environ.get("ZIMG_CLIENTS_SILLYTAVERN", HERE / "sillytavern")) / "node_modules/sillytavern"


class Application:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zimg-clients-"))
        self.port = free_port()
        self.log = (self.folder / "log").open("wb")
        command = [
            "node", "server.js", "--dataRoot", self.folder / "data", "--configPath", self.folder / "config.yaml",
            "--port", str(self.port), "--listen", "false", "--disableCsrf", "true",
            "--browserLaunchEnabled", "false",
        ]
        self.process = subprocess.Popen(command, cwd=INSTALLED, stdout=self.log, stderr=self.log)
        # Its first start compiles its page, which takes minutes on a machine that is busy.
        wait_until("SillyTavern is ready", self.is_ready, timeout=300)

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """What its page asks of its server."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/sd/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            read = answer.read()
        try:
            return json.loads(read)
        except ValueError:
            return read.decode()

    def said(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class SillyTavern(FrontCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.application = Application()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.application.stop()

    def settings(self, user: str) -> dict[str, str]:
        return {"url": self.front.url, "auth": f"x:{self.front.keys[user]}"}

    def body(self, user: str) -> dict[str, Any]:
        """As generateAutoImage of its page makes it."""
        return self.settings(user) | {
            "prompt": "a fox", "negative_prompt": "", "sampler_name": "DDIM", "scheduler": "normal", "steps": 20,
            "cfg_scale": 7, "width": 128, "height": 64, "restore_faces": False, "enable_hr": False,
            "hr_upscaler": "Latent", "hr_scale": 2, "hr_additional_modules": [], "denoising_strength": 0.7,
            "hr_second_pass_steps": 0, "override_settings": {"CLIP_stop_at_last_layers": 1},
            "override_settings_restore_afterwards": True, "clip_skip": 1, "save_images": True, "send_images": True,
            "do_not_save_grid": False, "do_not_save_samples": False,
        }

    def test_the_source_sd_webui(self) -> None:
        self.start(users=("ann", "bob"))
        ask, settings = self.application.ask, self.settings("ann")
        self.assertEqual(ask("ping", settings), "OK")
        self.assertEqual(ask("models", settings), [{"value": "tiny", "text": "tiny"}])
        self.assertEqual(ask("samplers", settings), ["Euler"])
        self.assertEqual(ask("schedulers", settings), ["automatic"])
        self.assertIn("None", ask("upscalers", settings))
        self.assertEqual(ask("vaes", settings), [])
        self.assertEqual(ask("get-model", settings), "tiny")
        self.assertEqual(ask("set-model", settings | {"model": "tiny"}), "OK")
        answer = ask("generate", self.body("ann"))
        image = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
        self.assertEqual((image.format, image.size), ("PNG", (128, 64)))
        self.assertEqual(json.loads(answer["info"])["steps"], 8)
        key = self.front.keys["ann"]
        self.assertNotIn(key, json.dumps(answer))
        self.assertNotIn(key, self.front.said())
        self.assertNotIn("a fox", self.front.said())
        with self.assertRaises(urllib.error.HTTPError) as refused:
            ask("ping", {"url": self.front.url, "auth": "x:wrong"})
        refused.exception.close()

    def test_hanging_up_ends_the_job(self) -> None:
        self.start("hold@step:2", users=("ann",))
        # Its own: it ends if its request for an interrupt, which nothing waits for, gets no answer.
        application = Application()
        self.addCleanup(application.stop)
        body = json.dumps(self.body("ann")).encode()
        page = threading.Thread(target=self.leave, args=(application.port, body))
        page.start()
        wait_until("the job is there", self.daemon.jobs)
        page.join()
        wait_until("the job is cancelled", lambda: not self.daemon.jobs())

    def leave(self, port: int, body: bytes) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/sd/generate", body, {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=3)
        except TimeoutError:
            pass

    def test_the_source_stable_diffusion_cpp_without_keys(self) -> None:
        self.start()
        ask, settings = self.application.ask, {"url": self.front.url}
        self.assertEqual(ask("sdcpp/ping", settings), "OK")
        self.assertEqual(ask("sdcpp/models", settings)["data"][0]["id"], "tiny")
        body = settings | {
            "model": "tiny", "prompt": "a fox", "width": 128, "height": 64, "steps": 20, "cfg_scale": 7,
            "sampler_name": "euler_a", "batch_size": 1, "clip_skip": 1,
        }
        answer = ask("sdcpp/generate", body)
        self.assertEqual(Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))).size, (128, 64))


if __name__ == "__main__":
    unittest.main()
