"""Checkpoints to measure with: the full-size one with random weights, and the same with a float32 transformer.

usage: checkpoint.py float32 FROM TO   (TO shares all other files with FROM)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
TOKENIZER = Path(__file__).resolve().parents[3] / "tests/fixtures/reference/plain/tokenizer"


def make(out: Path, tokenizer: Path) -> None:
    """The full-size checkpoint in bfloat16, 20 GB. An interrupted one is made again."""
    if (out / "model_index.json").exists():
        return
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([sys.executable, REFERENCE / "full_size.py", out, tokenizer], check=True)


def make_float32(source: Path, out: Path) -> None:
    """As the official files are: the transformer in float32, the rest as it was."""
    if (out / "model_index.json").exists():
        return
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([sys.executable, __file__, "float32", source, out], check=True)


def widen(source: Path, out: Path) -> None:
    """Writes the float32 checkpoint; the index comes last, so that what is interrupted is not taken for whole."""
    from safetensors.torch import load_file, save_file

    for file in sorted(path for path in source.rglob("*") if path.is_file() and path.name != "model_index.json"):
        target = out / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.parent.name == "transformer" and file.suffix == ".safetensors":
            save_file({name: tensor.float() for name, tensor in load_file(file).items()}, target)
        else:
            os.symlink(file.resolve(), target)
    for index in (out / "transformer").glob("*.index.json"):
        listed = json.loads(index.read_text())
        index.unlink()
        listed.setdefault("metadata", {})["total_size"] = 4 * sum(
            elements(file) for file in (out / "transformer").glob("*.safetensors"))
        index.write_text(json.dumps(listed))
    os.symlink((source / "model_index.json").resolve(), out / "model_index.json")


def elements(file: Path) -> int:
    """Elements of all tensors of a file whose tensors are float32."""
    with open(file, "rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return sum((entry["data_offsets"][1] - entry["data_offsets"][0]) // 4
               for name, entry in header.items() if name != "__metadata__")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "float32":
        sys.exit(__doc__)
    widen(Path(sys.argv[2]), Path(sys.argv[3]))
