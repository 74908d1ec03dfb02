"""The MCP client library against `zimg mcp`: tools, images, progress, cancelling, and the client's end."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from PIL import Image, ImageChops, ImageStat

from service import BUILT, TIMEOUT, Daemon, wait_until


def server(daemon: Daemon, *words: str) -> StdioServerParameters:
    arguments = ["mcp", "--socket", str(daemon.socket), *words]
    return StdioServerParameters(command=str(BUILT / "zimg"), args=arguments, env=daemon.environment)


def images(result) -> list[Image.Image]:
    files = [base64.b64decode(block.data) for block in result.content if block.type == "image"]
    return [Image.open(io.BytesIO(file)) for file in files]


def sizes(result) -> list[tuple[int, int]]:
    return [image.size for image in images(result)]


class Tools(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.stop)

    def test_an_agent_generates_images(self) -> None:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        asyncio.run(self.agent(folder))
        with Image.open(folder / "zimg-7.png") as image:
            self.assertIn("Seed: 7", image.text["parameters"])

    async def agent(self, folder: Path) -> None:
        async with stdio_client(server(self.daemon, "--save", str(folder))) as streams, ClientSession(*streams) as session:
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            self.assertEqual(names, ["draw", "status", "cancel"])
            steps: list[tuple[float, float | None]] = []

            async def progress(done: float, of: float | None, message: str | None) -> None:
                steps.append((done, of))

            arguments = {"prompt": "a fox", "width": 64, "height": 80, "seed": 7, "count": 2}
            result = await session.call_tool("draw", arguments, progress_callback=progress)
            self.assertEqual(sizes(result), [(64, 80)] * 2)
            said = json.loads(result.content[-1].text)
            self.assertEqual([image["seed"] for image in said["images"]], [7, 8])
            self.assertTrue(Path(said["images"][1]["file"]).is_file())
            self.assertEqual(steps[-1], (16, 16))
            status = json.loads((await session.call_tool("status", {})).content[0].text)
            self.assertEqual((status["model"]["name"], status["your_jobs"]), ("tiny", []))
            for wrong in ({}, {"prompt": "a", "width": 100}, {"prompt": "a", "file": "/etc/passwd"}):
                refused = await session.call_tool("draw", wrong)
                self.assertTrue(refused.model_dump()["is_error" if hasattr(refused, "is_error") else "isError"])
            await self.edits(session, folder)
            absent = await session.call_tool("cancel", {"job": 99})
            self.assertIn("99", absent.content[0].text)


    async def edits(self, session: ClientSession, folder: Path) -> None:
        """Images that start from the first, by its name, by its path, and as base64."""
        first = folder / "zimg-7.png"
        arguments = {"prompt": "snow", "seed": 3, "strength": 0.5, "format": "png"}
        encoded = base64.b64encode(first.read_bytes()).decode()
        edited = []
        for image in ("zimg-7.png", str(first), encoded, f"data:image/png;base64,{encoded}"):
            result = await session.call_tool("draw", arguments | {"image": image})
            self.assertEqual(sizes(result), [(64, 80)], result.content[0])
            edited.append(images(result)[0].tobytes())
        self.assertEqual(len(set(edited)), 1)
        with Image.open(first) as image:
            self.assertNotEqual(edited[0], image.tobytes())
        with Image.open(folder / "zimg-3.png") as image:
            self.assertIn('"init":{"name":"zimg-7.png"', image.text["zimg"].replace(" ", ""))
        mask = Image.new("L", (64, 80), 0)
        mask.paste(255, (0, 40, 64, 80))
        mask.save(folder / "mask.png")
        result = await session.call_tool("draw", arguments | {"strength": 1, "image": "zimg-7.png", "mask": "mask.png"})
        with Image.open(first) as image:
            upper = [part.convert("RGB").crop((0, 0, 64, 24)) for part in (image, images(result)[0])]
        self.assertLess(sum(ImageStat.Stat(ImageChops.difference(*upper)).mean) / 3, 12)
        for wrong in ({"image": "../zimg-7.png"}, {"image": "/etc/hosts.png"}, {"mask": "mask.png"}, {"image": "QUI="}):
            refused = await session.call_tool("draw", {"prompt": "snow"} | wrong)
            self.assertTrue(refused.model_dump()["is_error" if hasattr(refused, "is_error") else "isError"], wrong)


class Ends(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon("hold@step:2")
        self.addCleanup(self.daemon.stop)

    def test_a_call_that_is_cancelled_or_left_cancels_its_job(self) -> None:
        asyncio.run(self.cancelled())
        wait_until("the job is cancelled", lambda: not self.daemon.jobs())

    async def cancelled(self) -> None:
        async with stdio_client(server(self.daemon)) as streams, ClientSession(*streams) as session:
            await session.initialize()
            with anyio.move_on_after(0.5):
                await session.call_tool("draw", {"prompt": "a fox"})
            # The server goes on.
            self.assertFalse(json.loads((await session.call_tool("status", {})).content[0].text) == {})
            with anyio.move_on_after(0.5):
                await session.call_tool("draw", {"prompt": "a hen"})

    def test_what_is_no_message_is_refused_and_the_end_of_input_ends_the_server(self) -> None:
        lines = ["{", "[]", '{"id":1}', '{"id":2,"method":"nothing"}', '{"id":"3","method":"ping"}', ""]
        done = subprocess.run(
            [BUILT / "zimg", "mcp", "--socket", self.daemon.socket],
            input="\n".join(lines).encode(), env=self.daemon.environment, capture_output=True, timeout=TIMEOUT, check=True,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        self.assertEqual(codes, [-32700, -32600, -32600, -32601, None])
        self.assertEqual((answers[-1]["id"], done.stderr), ("3", b""))


if __name__ == "__main__":
    unittest.main()
