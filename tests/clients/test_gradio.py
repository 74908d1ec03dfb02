"""The Gradio page of contrib/clients/gradio, asked by gradio_client as its page asks it."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest

import gradio_client
from PIL import Image

from service import TOP, FrontCase, free_port, wait_until


class Page(FrontCase):
    def setUp(self) -> None:
        self.start()
        port = free_port()
        environment = os.environ | {"ZIMG_URL": self.front.url, "PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [sys.executable, TOP / "contrib/clients/gradio/app.py"]
        self.page = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        self.addCleanup(self.page.wait)
        self.addCleanup(self.page.kill)
        self.client = wait_until("the page is there", lambda: self.connect(port))
        self.addCleanup(self.client.close)

    def connect(self, port: int) -> gradio_client.Client | None:
        if self.page.poll() is not None:
            raise RuntimeError("the page has ended")
        try:
            return gradio_client.Client(f"http://127.0.0.1:{port}", verbose=False)
        except Exception:
            return None

    def test_the_button_generates_an_image_after_its_previews(self) -> None:
        job = self.client.submit("a fox", "blur", api_name="/generate")
        with Image.open(job.result(timeout=60)) as image:
            self.assertEqual(image.size, (256, 256))
        sizes = set()
        for path in job.outputs():
            with Image.open(path) as shown:
                sizes.add(shown.size)
        self.assertEqual(sizes, {(32, 32), (256, 256)})
        # The page shows the sentence of a refusal.
        with self.assertRaises(Exception) as refused:
            self.client.predict("a\0fox", "", api_name="/generate")
        self.assertIn("control character", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
