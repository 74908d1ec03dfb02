"""webuiapi against /sdapi/v1: every getter, images, progress and interrupts of two users."""

from __future__ import annotations

import json
import threading
import unittest
import urllib.error
import urllib.request

import webuiapi
from PIL import Image, ImageChops, ImageStat

from service import BuiltInModelCase, Front, FrontCase, wait_until


def api(front: Front, user: str | None = None) -> webuiapi.WebUIApi:
    made = webuiapi.WebUIApi(host="127.0.0.1", port=front.port)
    if user:
        made.set_auth("anybody", front.keys[user])
    return made


class BuiltInModel(BuiltInModelCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.api = api(cls.front)

    def test_every_getter_has_an_answer(self) -> None:
        for name in dir(self.api):
            if name.startswith("get_") and name not in ("get_endpoint",):
                answer = getattr(self.api, name)()
                self.assertIsInstance(answer, (list, dict), name)
        self.assertEqual(self.api.util_get_model_names(), ["tiny"])
        self.assertEqual(self.api.util_get_sampler_names(), ["Euler"])
        self.assertEqual(self.api.util_get_scheduler_names(), ["automatic"])
        self.assertEqual(self.api.util_get_current_model(), "tiny")
        self.api.refresh_checkpoints()

    def test_the_model_is_set_to_itself_and_to_no_other(self) -> None:
        self.api.util_set_model("tin")
        self.assertIsNone(self.api.set_options({"sd_model_checkpoint": "tiny"}))
        self.assertEqual(self.api.set_options({"sd_model_checkpoint": "sdxl"})["error"], "not_found")

    def test_an_image_says_how_to_have_it_again(self) -> None:
        first = self.api.txt2img(prompt="a fox", negative_prompt="blur", width=64, height=80, batch_size=2)
        self.assertEqual([image.size for image in first.images], [(64, 80)] * 2)
        # webuiapi sends 20 steps and CFG scale 7 by itself.
        self.assertEqual((first.info["steps"], first.info["cfg_scale"]), (8, 1.0))
        names = {ignored["name"] for ignored in first.json["zimg_ignored"]}
        self.assertLessEqual({"steps", "cfg_scale", "negative_prompt"}, names)
        again = self.api.txt2img(prompt="a fox", width=64, height=80, seed=first.info["all_seeds"][1])
        self.assertEqual(again.image.tobytes(), first.images[1].tobytes())
        info = self.api.png_info(first.image)
        self.assertTrue(info.info.startswith("a fox\nNegative prompt: blur\nSteps: 8"), info.info)

    def test_what_would_be_another_image_is_refused_with_a_sentence(self) -> None:
        for fields in ({"enable_hr": True}, {"width": 100}, {"styles": ["anime"]}, {"script_name": "x"}):
            with self.assertRaises(RuntimeError) as refused:
                self.api.txt2img(prompt="a fox", **fields)
            status, text = refused.exception.args
            self.assertEqual((status, json.loads(text)["error"]), (400, "refused"))
        with self.assertRaises(RuntimeError) as refused:
            self.api.img2img(images=[])
        self.assertEqual(refused.exception.args[0], 400)

    def test_an_image_starts_from_another_and_keeps_what_its_mask_has_black(self) -> None:
        first = self.api.txt2img(prompt="a fox", width=128, height=64, seed=1).image
        mask = Image.new("L", first.size, 0)
        mask.paste(255, (64, 0, 128, 64))
        settings = {"prompt": "snow", "width": 128, "height": 64, "seed": 2, "denoising_strength": 1}
        whole = self.api.img2img(images=[first], **settings)
        self.assertEqual(whole.image.size, (128, 64))
        self.assertNotEqual(whole.image.tobytes(), first.tobytes())
        masked = self.api.img2img(images=[first], mask_image=mask, mask_blur=0, **settings)
        self.assertLess(self.distance(masked.image, first, (0, 0, 48, 64)), 12)
        self.assertGreater(self.distance(masked.image, first, (80, 0, 128, 64)), 12)

    @staticmethod
    def distance(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int]) -> float:
        """The mean difference of two images within a box, of 255."""
        difference = ImageChops.difference(one.convert("RGB").crop(box), other.convert("RGB").crop(box))
        return sum(ImageStat.Stat(difference).mean) / 3

    def test_bodies_of_clients_that_cannot_be_installed(self) -> None:
        # danny-avila/LibreChat api/app/clients/tools/structured/StableDiffusion.js
        body = {"prompt": "a fox", "negative_prompt": "x", "cfg_scale": 4.5, "steps": 22, "width": 64, "height": 64}
        request = urllib.request.Request(
            f"{self.front.url}/sdapi/v1/txt2img", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer = json.load(answer)
        info = json.loads(answer["info"])
        self.assertTrue(info["infotexts"][0] and answer["images"][0])
        self.assertEqual((info["width"], info["steps"]), (64, 8))


class Obeying(FrontCase):
    def test_steps_and_cfg_scale_count_where_it_is_configured(self) -> None:
        self.start(None, "--obey-steps")
        made = api(self.front).txt2img(prompt="a fox", width=64, height=64, steps=3, cfg_scale=2)
        self.assertEqual((made.info["steps"], made.info["cfg_scale"]), (3, 2.0))


class Users(FrontCase):
    def test_progress_and_interrupt_are_a_users_own(self) -> None:
        self.start("hold@step:2", users=("ann", "bob"))
        front = self.front
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{front.url}/sdapi/v1/options", timeout=60)
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()
        ann, bob = api(front, "ann"), api(front, "bob")
        ended: dict[str, object] = {}

        def generate(name: str, user: webuiapi.WebUIApi) -> None:
            try:
                ended[name] = user.txt2img(prompt=name, width=64, height=64).image
            except RuntimeError as error:
                ended[name] = error.args[0]

        threads = [threading.Thread(target=generate, args=pair) for pair in (("ann", ann), ("bob", bob))]
        threads[0].start()
        wait_until("ann's job runs", lambda: ann.get_progress()["state"]["sampling_step"])
        self.assertEqual(bob.get_progress()["state"]["job_count"], 0)
        self.assertEqual(bob.get_progress()["progress"], 0)
        threads[1].start()
        wait_until("bob's job waits", lambda: bob.get_progress()["state"]["job_count"])
        self.assertTrue(wait_until("a preview", lambda: ann.get_progress()["current_image"]))
        ann.interrupt()
        threads[0].join()
        self.assertEqual(ended["ann"], 499)
        self.daemon.open_gate()
        threads[1].join()
        self.assertEqual(ended["bob"].size, (64, 64))
        bob.util_wait_for_ready(check_interval=0.01)


if __name__ == "__main__":
    unittest.main()
