"""Time from exec to READY at full size, for each layout of the transformer's weights against the diffusers folder.

Writes full-size files of random blocks beside the checkpoint (once; with the standard library alone), then starts
zimaged with each in turns, with a full page cache. The text encoder and the VAE are those of the checkpoint, linked.
Goals: each layout within 1.25 times the folder's time per byte read; Q8_0, Q4_K and float8 sooner than the folder.

usage: layouts.py --checkpoint DIFFUSERS_FOLDER --files OUT --bin target/release [--libtorch FOLDER] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import struct
import sys
from pathlib import Path

from ours import Daemon, Programs

# The bytes that are repeated as a file's content: random, and larger than any cache of a core.
PATTERN = 32 << 20
RENAMED = [
    ("attention.to_out.0.", "attention.out."), ("attention.norm_q", "attention.q_norm"),
    ("attention.norm_k", "attention.k_norm"), ("all_x_embedder.2-1", "x_embedder"),
    ("all_final_layer.2-1", "final_layer"),
]


def header(path: Path) -> dict[str, dict]:
    """The tensors of a safetensors file."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    return entries


def fused(checkpoint: Path) -> dict[str, list[int]]:
    """Names and shapes of the transformer's tensors as ComfyUI has them."""
    shapes = {}
    for path in sorted((checkpoint / "transformer").glob("*.safetensors")):
        shapes |= {name: entry["shape"] for name, entry in header(path).items()}
    named = {}
    for name, shape in shapes.items():
        if ".attention.to_k." in name or ".attention.to_v." in name:
            continue
        if ".attention.to_q." in name:
            name, shape = name.replace(".to_q.", ".qkv."), [3 * shape[0], *shape[1:]]
        for theirs, comfy in RENAMED:
            name = name.replace(theirs, comfy)
        named[name] = shape
    return named


def product(shape: list[int]) -> int:
    numbers = 1
    for side in shape:
        numbers *= side
    return numbers


def bfloat16_pattern() -> bytes:
    """Numbers of either sign from 2^-7 to 2^-6."""
    pattern = bytearray(random.randbytes(PATTERN))
    pattern[1::2] = bytes(pattern[1::2]).translate(bytes(0x3C | byte & 0x80 for byte in range(256)))
    return bytes(pattern)


def block_pattern(size: int, fixed: dict[int, int]) -> bytes:
    """Whole blocks of random bytes, some of them given."""
    pattern = bytearray(random.randbytes(PATTERN // size * size))
    for at, byte in fixed.items():
        pattern[at::size] = bytes([byte]) * (len(pattern) // size)
    return bytes(pattern)


def half(at: int, value: float) -> dict[int, int]:
    low, high = struct.pack("<e", value)
    return {at: low, at + 1: high}


def write(file, pattern: bytes, size: int) -> None:
    while size > 0:
        size -= file.write(pattern[:size])


def ones(kind: str, numbers: int) -> bytes:
    return (struct.pack("<f", 1.0) if kind == "F32" else b"\x80\x3f") * numbers


def is_matrix(name: str, shape: list[int]) -> bool:
    return len(shape) == 2 and name.endswith(".weight") and "norm" not in name


def is_quantised(name: str, shape: list[int]) -> bool:
    return is_matrix(name, shape) and any(part in name for part in ("layers.", "refiner.")) and shape[1] % 256 == 0


def safetensors(path: Path, tensors: dict[str, list[int]], layout: str) -> None:
    """ComfyUI's single file: bfloat16, float8 with a scale for all or for each row, or int8 with ConvRot."""
    bfloat16 = bfloat16_pattern()
    integers = random.randbytes(PATTERN)
    # e4m3 numbers below 2^-2 in size.
    float8 = integers.translate(bytes(byte & 0xA7 for byte in range(256)))
    entries, parts, at = {}, [], 0

    def add(name: str, kind: str, shape: list[int], size: int, pattern: bytes) -> None:
        nonlocal at
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        parts.append((pattern, size))
        at += size

    for name, shape in tensors.items():
        numbers, layer = product(shape), name.removesuffix(".weight")
        if layout == "bf16" or not is_quantised(name, shape):
            plain = bfloat16 if len(shape) > 1 else ones("BF16", numbers)
            add(name, "BF16", shape, 2 * numbers, plain)
        elif layout == "float8":
            add(name, "F8_E4M3", shape, numbers, float8)
            add(f"{layer}.weight_scale", "F32", [], 4, struct.pack("<f", 0.1))
            add(f"{layer}.comfy_quant", "U8", [26], 26, b'{"format":"float8_e4m3fn"} ')
        elif layout == "float8_rows":
            add(name, "F8_E4M3", shape, numbers, float8)
            add(f"{layer}.weight_scale", "F32", [shape[0], 1], 4 * shape[0], struct.pack("<f", 0.1) * shape[0])
            add(f"{layer}.comfy_quant", "U8", [26], 26, b'{"format":"float8_e4m3fn"} ')
        else:
            text = b'{"format":"int8_tensorwise","convrot":true,"convrot_groupsize":256}'
            add(name, "I8", shape, numbers, integers)
            add(f"{layer}.weight_scale", "F32", [shape[0], 1], 4 * shape[0], struct.pack("<f", 1e-4) * shape[0])
            add(f"{layer}.comfy_quant", "U8", [len(text)], len(text), text)
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for pattern, size in parts:
            write(file, pattern, size)


def gguf(path: Path, tensors: dict[str, list[int]], layout: str) -> None:
    """The file of city96's converter: matrices in blocks, the rest as float32 or bfloat16."""
    kind, numbers, size, pattern = {
        "q8_0": (8, 32, 34, block_pattern(34, half(0, 1e-4))),
        "q4_k": (12, 256, 144, block_pattern(144, half(0, 5e-5) | half(2, 3e-4))),
    }[layout]
    bfloat16 = bfloat16_pattern()
    infos, parts, at = b"", [], 0
    for name, shape in tensors.items():
        if is_quantised(name, shape):
            code, data, length = kind, pattern, product(shape) // numbers * size
        elif len(shape) > 1:
            code, data, length = 30, bfloat16, 2 * product(shape)
        else:
            code, data, length = 0, ones("F32", product(shape)), 4 * product(shape)
        encoded = name.encode()
        infos += struct.pack("<Q", len(encoded)) + encoded + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", side) for side in reversed(shape)) + struct.pack("<IQ", code, at)
        padded = length + -length % 32
        parts.append((data, length, padded - length))
        at += padded
    key = b"general.architecture"
    text = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1)
    text += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, 7) + b"lumina2" + infos
    with path.open("wb") as file:
        file.write(text + bytes(-len(text) % 32))
        for data, length, padding in parts:
            write(file, data, length)
            file.write(bytes(padding))


def joined(checkpoint: Path, component: str, path: Path) -> None:
    """A component's shards as one safetensors file."""
    files = sorted((checkpoint / component).glob("*.safetensors"))
    entries, sources, at = {}, [], 0
    for shard in files:
        with shard.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
        for name, entry in header(shard).items():
            begin, end = entry["data_offsets"]
            entries[name] = entry | {"data_offsets": [at, at + end - begin]}
            sources.append((shard, 8 + length + begin, end - begin))
            at += end - begin
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for shard, begin, size in sources:
            with shard.open("rb") as file:
                file.seek(begin)
                while size > 0:
                    size -= out.write(file.read(min(size, PATTERN)))


WRITERS = {"bf16": safetensors, "float8": safetensors, "int8_convrot": safetensors, "q8_0": gguf, "q4_k": gguf}


def make(checkpoint: Path, out: Path, wanted: tuple[str, ...] = tuple(WRITERS)) -> dict[str, Path]:
    """A ComfyUI models folder for each layout that is wanted, made unless it is there."""
    shared = out / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    for component, name in (("text_encoder", "qwen_3_4b.safetensors"), ("vae", "ae.safetensors")):
        if not (shared / name).exists():
            joined(checkpoint, component, shared / f"{name}.part")
            (shared / f"{name}.part").rename(shared / name)
    tensors, folders = fused(checkpoint), {}
    for layout in wanted:
        writer = gguf if layout in ("q8_0", "q4_k") else safetensors
        folder = folders[layout] = out / layout
        name = "z_image_turbo." + ("gguf" if writer is gguf else "safetensors")
        for sub in ("diffusion_models", "text_encoders", "vae"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        for sub, file in (("text_encoders", "qwen_3_4b.safetensors"), ("vae", "ae.safetensors")):
            if not (folder / sub / file).exists():
                (folder / sub / file).hardlink_to(shared / file)
        path = folder / "diffusion_models" / name
        if not path.exists():
            writer(path.with_suffix(".part"), tensors, layout)
            path.with_suffix(".part").rename(path)
    return folders


def weights(folder: Path) -> int:
    """Reads all weights, so that the page cache has them; returns their bytes."""
    total = 0
    for path in folder.rglob("*"):
        if path.suffix in (".safetensors", ".gguf"):
            with path.open("rb", buffering=0) as file:
                while read := len(file.read(PATTERN)):
                    total += read
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--libtorch", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--warmup", default="1024x1024")
    parser.add_argument("--make-only", action="store_true")
    args = parser.parse_args()
    folders = {"diffusers": args.checkpoint} | make(args.checkpoint, args.files)
    if args.make_only:
        return 0
    programs = Programs(args.bin, args.libtorch)
    seconds: dict[str, list[float]] = {layout: [] for layout in folders}
    sizes = {layout: weights(folder) for layout, folder in folders.items()}
    for _ in range(args.rounds):
        for layout, folder in folders.items():
            options = ["--model", str(folder), "--device", args.device, "--warmup", args.warmup]
            with Daemon(programs, options) as daemon:
                seconds[layout].append(daemon.ready_s)
            print(f"{layout}: {seconds[layout][-1]:.2f} s", flush=True)
    base = statistics.median(seconds["diffusers"])
    print(f"{'layout':14}{'GB':>8}{'READY s':>10}{'range':>14}{'per byte':>10}")
    missed = 0
    for layout, found in seconds.items():
        median = statistics.median(found)
        ratio = median / sizes[layout] / (base / sizes["diffusers"])
        sooner = layout in ("q8_0", "q4_k", "float8") and median >= base
        missed += ratio > 1.25 or sooner
        spread = f"{min(found):.2f}-{max(found):.2f}"
        print(f"{layout:14}{sizes[layout] / 1e9:8.2f}{median:10.2f}{spread:>14}{ratio:10.2f}"
              f"{' MISSED' if ratio > 1.25 or sooner else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
