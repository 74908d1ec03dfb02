"""openai-python against /v1: images, streams, errors, retries, hanging up."""

from __future__ import annotations

import base64
import io
import threading
import time
import unittest
import urllib.request

import openai
from PIL import Image

from service import BuiltInModelCase, Front, FrontCase, wait_until


def client(front: Front, key: str = "unused", **options: object) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{front.url}/v1", api_key=key, timeout=60, **options)


def decoded(data: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image


class BuiltInModel(BuiltInModelCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.openai = client(cls.front)

    def test_the_model_is_listed_and_has_the_names_that_clients_have_built_in(self) -> None:
        (model,) = self.openai.models.list().data
        self.assertEqual(model.id, "tiny")
        for name in ("tiny", "gpt-image-1", "dall-e-3"):
            self.assertEqual(self.openai.models.retrieve(name).id, "tiny")
        with self.assertRaises(openai.NotFoundError) as refused:
            self.openai.images.generate(prompt="a fox", model="flux")
        self.assertEqual(refused.exception.code, "model_not_found")

    def test_images_have_the_size_that_was_asked_for(self) -> None:
        answer = self.openai.images.generate(prompt="a fox", n=2, size="64x80", extra_body={"seed": 7})
        sizes = [decoded(image.b64_json).size for image in answer.data]
        self.assertEqual(sizes, [(64, 80)] * 2)
        self.assertEqual(answer.model_extra["zimg"]["seeds"], [7, 8])
        self.assertEqual((answer.size, answer.output_format), ("64x80", "png"))

    def test_an_edit_starts_from_its_image_and_streams(self) -> None:
        first = self.openai.images.generate(prompt="a fox", size="64x80", extra_body={"seed": 1})
        file = base64.b64decode(first.data[0].b64_json)
        edit = {"image": ("a.png", file, "image/png"), "prompt": "snow", "extra_body": {"seed": 2, "strength": 0.25}}
        near = decoded(self.openai.images.edit(**edit).data[0].b64_json)
        self.assertEqual(near.size, (64, 80))
        self.assertNotEqual(near.tobytes(), decoded(first.data[0].b64_json).tobytes())
        *_, last = self.openai.images.edit(**edit, stream=True, partial_images=1)
        self.assertEqual((last.type, decoded(last.b64_json).tobytes()), ("image_edit.completed", near.tobytes()))
        with self.assertRaises(openai.BadRequestError) as refused:
            self.openai.images.edit(image=("a.png", b"no image", "image/png"), prompt="snow")
        self.assertEqual(refused.exception.param, "image")

    def test_the_same_seed_gives_the_bytes_of_zimg(self) -> None:
        path = self.daemon.folder / "fox.png"
        self.daemon.zimg("a fox", "--seed", "7", "--size", "64x64", "-o", str(path))
        answer = self.openai.images.generate(prompt="a fox", size="64x64", extra_body={"seed": "7"})
        ours, theirs = decoded(answer.data[0].b64_json), Image.open(path)
        self.assertEqual(ours.tobytes(), theirs.tobytes())
        self.assertEqual(ours.text["parameters"].replace("zimg-web", "zimg"), theirs.text["parameters"])

    def test_formats_and_links(self) -> None:
        for name in ("png", "jpeg", "webp"):
            options = {"output_format": name, "output_compression": 80} if name != "png" else {}
            answer = self.openai.images.generate(prompt="a fox", size="64x64", **options)
            self.assertEqual(decoded(answer.data[0].b64_json).format, name.upper())
            answer = self.openai.images.generate(
                prompt="a fox", size="64x64", response_format="url", extra_body={"seed": 5}, **options
            )
            with urllib.request.urlopen(answer.data[0].url, timeout=60) as file:
                image = Image.open(io.BytesIO(file.read()))
            self.assertEqual((image.format, image.size), (name.upper(), (64, 64)))

    def test_a_stream_ends_with_the_image_of_a_request_without_one(self) -> None:
        options = {"prompt": "a fox", "size": "128x64", "extra_body": {"seed": 3}}
        *partial, last = self.openai.images.generate(stream=True, partial_images=3, **options)
        self.assertEqual(last.type, "image_generation.completed")
        # A worker makes ten previews a second at most, and this model may be done before the second.
        for event in partial:
            self.assertEqual(decoded(event.b64_json).size, (16, 8))
        whole = self.openai.images.generate(**options)
        self.assertEqual(decoded(last.b64_json).tobytes(), decoded(whole.data[0].b64_json).tobytes())

    def test_what_has_no_effect_is_named(self) -> None:
        answer = self.openai.images.generate(
            prompt="a fox", size="64x64", quality="high", style="vivid", extra_body={"negative_prompt": "x"}
        )
        names = [ignored["name"] for ignored in answer.model_extra["zimg"]["ignored"]]
        self.assertEqual(sorted(names), ["negative_prompt", "quality", "style"])

    def test_errors_name_the_field_and_say_what_to_do(self) -> None:
        for fields, param in (
            ({"size": "1000x1000"}, "size"),
            ({"size": "64x64", "n": 11}, "n"),
            ({"background": "transparent"}, "background"),
            ({"extra_body": {"num_inference_steps": 101}}, "num_inference_steps"),
            ({"output_format": "gif"}, "output_format"),
        ):
            with self.assertRaises(openai.BadRequestError) as refused:
                self.openai.images.generate(prompt="a fox", **fields)
            self.assertEqual(refused.exception.param, param)
            self.assertIn("expected" if param != "background" else "opaque", refused.exception.message)

    def test_variations_are_not_there_and_not_tried_again(self) -> None:
        begun = time.monotonic()
        with self.assertRaises(openai.InternalServerError) as refused:
            self.openai.images.create_variation(image=("a.png", b"x"))
        self.assertEqual(refused.exception.status_code, 501)
        self.assertEqual(refused.exception.response.headers["x-should-retry"], "false")
        self.assertLess(time.monotonic() - begun, 5)


class MockWorker(FrontCase):
    def test_a_job_that_kills_the_worker_is_attempted_once(self) -> None:
        self.start("crash@begin")
        with self.assertRaises(openai.InternalServerError):
            client(self.front).images.generate(prompt="a fox")
        self.assertEqual(self.daemon.status()["jobs"]["failed"], 1)

    def test_a_full_queue_is_waited_for(self) -> None:
        self.start("hold@begin", jobs="1")
        first = threading.Thread(target=lambda: client(self.front).images.generate(prompt="a hen"))
        first.start()
        self.addCleanup(first.join)
        self.addCleanup(self.daemon.open_gate)
        wait_until("the first job is there", self.daemon.jobs)
        with self.assertRaises(openai.RateLimitError) as refused:
            client(self.front, max_retries=0).images.generate(prompt="a fox")
        self.assertGreaterEqual(int(refused.exception.response.headers["retry-after"]), 1)
        opener = threading.Timer(1, self.daemon.open_gate)
        opener.start()
        self.addCleanup(opener.join)
        answer = client(self.front, max_retries=5).images.generate(prompt="a fox", size="64x64")
        self.assertEqual(decoded(answer.data[0].b64_json).size, (64, 64))

    def test_a_stream_has_partial_images_in_their_order(self) -> None:
        self.start("slow:200")
        stream = client(self.front).images.generate(prompt="a fox", stream=True, partial_images=3)
        *partial, last = list(stream)
        self.assertEqual({event.type for event in partial}, {"image_generation.partial_image"})
        self.assertEqual(last.type, "image_generation.completed")
        # The daemon drops a preview that is not read before the next.
        self.assertLessEqual(len(partial), 3)
        self.assertEqual([event.partial_image_index for event in partial], list(range(len(partial))))

    def test_closing_a_stream_cancels_its_job(self) -> None:
        self.start("hold@step:2")
        stream = client(self.front).images.generate(prompt="a fox", stream=True, partial_images=3)
        self.assertEqual(next(iter(stream)).type, "image_generation.partial_image")
        self.assertEqual(len(self.daemon.jobs()), 1)
        stream.close()
        wait_until("the job is cancelled", lambda: not self.daemon.jobs())

    def test_hanging_up_cancels_a_job_and_one_with_links(self) -> None:
        for response_format in ("b64_json", "url"):
            with self.subTest(response_format):
                self.start("hold@step:2")
                impatient = client(self.front, max_retries=0).with_options(timeout=1)
                with self.assertRaises(openai.APITimeoutError):
                    impatient.images.generate(prompt="a fox", response_format=response_format)
                wait_until("the job is cancelled", lambda: not self.daemon.jobs())

    def test_a_worker_that_dies_in_a_stream_is_an_error_of_the_stream(self) -> None:
        self.start("crash@begin")
        stream = client(self.front).images.generate(prompt="a fox", stream=True, partial_images=1)
        with self.assertRaises(openai.APIError):
            list(stream)
        self.assertEqual(self.daemon.status()["jobs"]["failed"], 1)


class Users(FrontCase):
    def test_keys_are_asked_for_and_users_are_apart(self) -> None:
        self.start("hold@step:1", users=("ann", "bob"))
        front = self.front
        with self.assertRaises(openai.AuthenticationError):
            client(front, "wrong").models.list()
        stream = client(front, front.keys["ann"]).images.generate(prompt="a fox", stream=True)
        self.addCleanup(stream.close)
        self.assertEqual(len(wait_until("the job is there", self.daemon.jobs)), 1)
        self.assertNotIn(front.keys["ann"], front.said())
        self.assertNotIn("a fox", front.said())


if __name__ == "__main__":
    unittest.main()
