"""The rows of the table: what is measured, in which unit, what is to be reached, and what the hardware allows.

The goals and floors are for one H100 or H200 (the same processor); docs/performance.md says where the floors come from.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row. `goal` is in the row's unit, at most that unless `at_least`; None: worked out in the run, or no goal."""

    key: str
    title: str
    unit: str
    goal: float | None = None
    at_least: bool = False
    floor: str = ""

    def reached(self, value: float, goal: float | None) -> bool | None:
        """Whether a value reaches a goal; None without a goal."""
        if goal is None:
            return None
        return value >= goal if self.at_least else value <= goal


ROWS = [
    Row("1024", "1024², 8 steps, bf16, warm: request frame to last pixel frame", "s", 0.75, floor="0.62 s"),
    Row("512", "512², the same", "s", 0.20, floor="0.17 s"),
    Row("1024-float8", "1024², `--dtype float8`", "s", 0.55, floor="0.42 s"),
    Row("1024-plain", "1024², `--eager`: our fast paths off", "s"),
    Row("text", "text encoder, 43 tokens", "ms", 8, floor="2.4 ms"),
    Row("text-seen", "text encoder, a prompt seen before", "ms", 0.05, floor="0"),
    Row("decode", "VAE decode 1024², pixels on the host", "ms", 40, floor="14 ms + traffic"),
    Row("ready", "exec to READY, bf16 files in the page cache", "s", 1.6, floor="0.3 + 0.37 s + first kernels"),
    Row("ready-float32", "exec to READY, float32 shards in the page cache", "s", 2.2, floor="0.3 + 0.6 s"),
    Row("ready-cold", "exec to READY, page cache dropped", "s", floor="bytes ÷ disk"),
    Row("first", "first image after READY ÷ steady state", "×", 1.05, floor="1"),
    Row("zimg", "what `zimg` adds to the daemon's time, PNG written, 1024²", "ms", 40),
    Row("memory", "GPU memory, 1024² bf16, all resident (the driver's view)", "GiB", 21.5, floor="19.3 GiB"),
    Row("clients", "8 clients waiting, 1024²: the worker's stage times ÷ the time that passed", "×", 0.97, at_least=True,
        floor="1"),
]
BY_KEY = {row.key: row for row in ROWS}

# diffusers as it can be run; `peer.py` has what each does.
PEERS = {
    "plain": "diffusers as the model card says",
    "compiled": "diffusers, compiled blocks, cuDNN attention",
    "float8": "diffusers, torchao row-wise float8, compiled blocks, cuDNN attention",
}


def written(value: float, unit: str) -> str:
    """A value for people: three significant digits at least."""
    digits = {"s": 3, "ms": 1, "×": 3, "GiB": 2}[unit]
    return f"{value:.{digits}f}" if unit == "×" else f"{value:.{digits}f} {unit}"
