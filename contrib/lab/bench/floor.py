"""What the machine itself allows for a step: its matrix products and attention alone, for seconds on end.

usage: floor.py WIDTHxHEIGHT CAPTION_TOKENS [SECONDS]   (a GPU with bfloat16)

One forward of the transformer has 32 blocks (2 of them over the image's tokens alone) of four products and one
attention. Here they run back to back on random numbers with torch, nothing between them, once for a moment on a cool
GPU and then until the clock has settled. Prints one line of JSON: milliseconds a step, TFLOP/s, power and clock.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import linear, scaled_dot_product_attention

WIDTH, INNER, HEADS, LAYERS, REFINERS = 3840, 10240, 30, 30, 2
PRODUCTS = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 2 * INNER), (INNER, WIDTH)]


class Watch:
    """Power in watts and clock in MHz while it runs, as nvidia-smi has them."""

    def __enter__(self) -> Watch:
        command = ["nvidia-smi", "--id=0", "--query-gpu=power.draw.instant,clocks.sm", "--format=csv,noheader,nounits",
                   "-lms", "100"]
        self.seen: list[tuple[float, float]] = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        return self

    def read(self) -> None:
        for line in self.process.stdout:
            try:
                power, clock = (float(word) for word in line.split(","))
            except ValueError:
                continue
            self.seen.append((power, clock))

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.thread.join(5)

    def settled(self) -> dict:
        """Medians of the second half."""
        half = self.seen[len(self.seen) // 2:]
        if not half:
            return {}
        return {"watts": statistics.median(power for power, _ in half),
                "mhz": statistics.median(clock for _, clock in half)}


def operations(tokens: int, image: int):
    """A step's products and attention, in order, and how many FLOP they are."""
    on = {"device": "cuda", "dtype": torch.bfloat16}
    weights = [torch.randn(outputs, inputs, **on) / inputs ** 0.5 for inputs, outputs in PRODUCTS]
    parts, flop = [], 0
    for count, blocks in ((image, REFINERS), (tokens, LAYERS)):
        rows = {inputs: torch.randn(count, inputs, **on) for inputs, _ in PRODUCTS}
        packed = torch.randn(count, 3, HEADS, WIDTH // HEADS, **on)
        q, k, v = (packed[:, i].transpose(0, 1)[None] for i in range(3))
        parts.append((blocks, rows, (q, k, v)))
        flop += blocks * (sum(2 * count * i * o for i, o in PRODUCTS) + 4 * WIDTH * count * count)

    def step() -> None:
        for blocks, rows, qkv in parts:
            for _ in range(blocks):
                linear(rows[WIDTH], weights[0])
                scaled_dot_product_attention(*qkv)
                linear(rows[WIDTH], weights[1])
                linear(rows[WIDTH], weights[2])
                linear(rows[INNER], weights[3])

    return step, flop


def timed(step, seconds: float) -> float:
    """Milliseconds a step, the median over a while, by events."""
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until or len(took) < 3:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        step()
        end.record()
        end.synchronize()
        took.append(begin.elapsed_time(end))
    return statistics.median(took[len(took) // 2:])


def main() -> None:
    width, height = map(int, sys.argv[1].split("x"))
    image = (width // 16) * (height // 16)
    image += -image % 32
    tokens = image + int(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 6.0
    step, flop = operations(tokens, image)
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION], set_priority=True):
        step()
        torch.cuda.synchronize()
        time.sleep(1)
        moment = timed(step, 0)
        with Watch() as watch:
            settled = timed(step, seconds)
    print(json.dumps({"tokens": tokens, "flop": flop, "moment_ms": round(moment, 2), "settled_ms": round(settled, 2),
                      "moment_tflops": round(flop / moment / 1e9), "settled_tflops": round(flop / settled / 1e9),
                      **watch.settled()}))


if __name__ == "__main__":
    main()
