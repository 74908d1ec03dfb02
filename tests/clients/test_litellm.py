"""LiteLLM's Router over two fronts with a daemon each: both are used, and one that is killed costs no image."""

from __future__ import annotations

import asyncio
import base64
import io
import unittest

import litellm
from litellm import Router

from service import Daemon, Front

PNG = b"\x89PNG\r\n\x1a\n"


class TwoMachines(unittest.TestCase):
    def setUp(self) -> None:
        litellm.suppress_debug_info = True
        self.daemons = [Daemon("slow:5", jobs_per_user="32"), Daemon("slow:5", jobs_per_user="32")]
        self.fronts = [Front(daemon) for daemon in self.daemons]
        for thing in (*self.fronts, *self.daemons):
            self.addCleanup(thing.stop)
        def model(name: str, front: Front) -> dict[str, object]:
            asked = {"model": "openai/zimg", "api_base": f"{front.url}/v1", "api_key": "unused"}
            return {"model_name": name, "litellm_params": asked}

        # LiteLLM cools no node down whose connections are refused, and least-busy chooses it again:
        # each front is a group of its own besides, to fall back on.
        groups = [model("zimg", front) for front in self.fronts]
        groups += [model(f"front-{number}", front) for number, front in enumerate(self.fronts)]
        self.router = Router(
            model_list=groups,
            routing_strategy="least-busy",
            num_retries=1,
            fallbacks=[{"zimg": ["front-0", "front-1"]}],
        )

    async def images(self, count: int) -> list[bytes]:
        asked = [self.router.aimage_generation(model="zimg", prompt=f"fox {i}", size="64x64") for i in range(count)]
        return [base64.b64decode(answer.data[0].b64_json) for answer in await asyncio.gather(*asked)]

    def done(self) -> list[int]:
        return [daemon.status()["jobs"]["done"] for daemon in self.daemons]

    def test_both_are_used_and_one_may_go(self) -> None:
        images = asyncio.run(self.images(20))
        self.assertTrue(all(io.BytesIO(image).read(8) == PNG for image in images))
        self.assertEqual(sum(self.done()), 20)
        self.assertTrue(all(done >= 4 for done in self.done()), self.done())
        self.fronts[0].kill()
        images = asyncio.run(self.images(8))
        self.assertEqual(len(images), 8)
        self.assertTrue(all(io.BytesIO(image).read(8) == PNG for image in images))

    def test_a_refusal_is_not_tried_on_the_other(self) -> None:
        with self.assertRaises(litellm.BadRequestError) as refused:
            self.router.image_generation(model="zimg", prompt="a fox", size="1000x1000")
        self.assertIn("the nearest valid size is 1008x1008", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
