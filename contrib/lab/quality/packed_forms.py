"""What weights of fewer bits change: distances of latents, and of images, from those of bfloat16, form by form.

usage: packed_forms.py --program target/release/examples/latents --checkpoint FOLDER [--device cuda:0] [--out DIR]
       packed_forms.py --program target/debug/examples/latents --built-in

`float8` and `int8` are zimg's own dtypes: float8 has the activations in 8 bits, too. The other rows have the numbers
that a form leaves of the weights (forms.py, which `python forms.py` compares with the tools' own), written as a
bfloat16 checkpoint: the same numbers as expanding the form before each product gives. With --built-in the images of 24
prompts are compared, too, by ../bench/quality.py (PSNR, SSIM, MS-SSIM, LPIPS). With --dtype float32 all is computed
in it, which is what a CPU is quick at, and shows the weights alone; zimg's own dtypes are left out then.
The checkpoint is a diffusers folder in bfloat16. Needs torch and safetensors, with --built-in also what quality.py
needs. Prints a table and writes it with all numbers to DIR/result.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from forms import FORMS, Form, takes

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "reference"), str(HERE.parent / "bench")]
from cases import LONG, Case, gpu_cases  # noqa: E402
from prompts import THINGS  # noqa: E402

BUILT_IN = HERE.parents[2] / "crates/zimage-worker/tiny"


def todo(args: argparse.Namespace) -> list[Case]:
    if args.built_in:
        return [Case(f"{n:02}", "", text, 256, 256, steps=8, seed=42 + n) for n, text in enumerate(THINGS)]
    seeds = [Case(f"1024-seed-{n}", "", LONG, 1024, 1024, steps=8, seed=100 + n) for n in range(args.seeds)]
    return gpu_cases(False) + seeds


def write(form: Form, source: Path, out: Path, device: str, dtype: torch.dtype) -> None:
    """A checkpoint with the numbers that the form leaves; what it does not change is linked."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "transformer").mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name != "transformer":
            (out / entry.name).symlink_to(entry.resolve())
    shutil.copy(source / "transformer/config.json", out / "transformer")
    tensors = {}
    for file in sorted((source / "transformer").glob("*.safetensors")):
        with safe_open(file, framework="pt", device=device) as shard:
            for name in shard.keys():
                tensor = shard.get_tensor(name)
                if takes(form, name):
                    tensor = form.numbers(tensor.bfloat16().float())
                tensors[name] = tensor.to(dtype).cpu().contiguous()
    save_file(tensors, out / "transformer/diffusion_pytorch_model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--built-in", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("target/packed-forms"))
    parser.add_argument("--device", default=None, help="cuda:0, and cpu with --built-in")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--seeds", type=int, default=8, help="more images at 1024, each with a seed of its own")
    parser.add_argument("--forms", nargs="*", default=None, help="names of forms.py; all unless given")
    args = parser.parse_args()
    device = args.device or ("cpu" if args.built_in else "cuda:0")
    source = BUILT_IN if args.built_in else args.checkpoint
    if source is None:
        parser.error("--checkpoint FOLDER or --built-in")
    started = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    cases = todo(args)
    listed = args.out / "cases.json"
    listed.write_text(json.dumps([case.record() for case in cases]))
    libtorch = Path(torch.__file__).parent / "lib"
    path = os.pathsep.join(filter(None, [str(libtorch), os.environ.get("LD_LIBRARY_PATH")]))
    environment = os.environ | {"LD_LIBRARY_PATH": path}

    def generated(checkpoint: Path, name: str, dtype: str) -> Path:
        folder = args.out / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [args.program, checkpoint, listed, folder, dtype, device, *(["--images"] if args.built_in else [])]
        subprocess.run(command, env=environment, check=True)
        print(f"packed_forms: {time.time() - started:5.0f} s: {name}", file=sys.stderr, flush=True)
        return folder

    def distances(folder: Path) -> list[float]:
        found = []
        for case in cases:
            ours, exact = (load_file(at / f"{case.name}.safetensors")["latents"].double() for at in (folder, base))
            found.append(((ours - exact).norm() / exact.norm()).item())
        return found

    def images(folder: Path) -> dict:
        from PIL import Image

        for at in (base, folder):
            for file in at.glob("*.ppm"):
                Image.open(file).save(file.with_suffix(".png"))
        command = [sys.executable, HERE.parent / "bench/quality.py", base, folder]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    base = generated(source, args.dtype, args.dtype)
    rows = []

    def add(name: str, bits: float | None, folder: Path) -> None:
        found = distances(folder)
        row = {"form": name, "bits": bits, "distances": dict(zip((case.name for case in cases), found))}
        if args.built_in:
            row["images"] = images(folder)
        rows.append(row)

    for dtype in ("float8", "int8") if args.dtype == "bfloat16" else ():
        add(f"dtype {dtype}", 8.0, generated(source, f"dtype-{dtype}", dtype))
    for form in FORMS:
        if args.forms is not None and form.name not in args.forms:
            continue
        made = args.out / "checkpoint"
        write(form, source, made, device, getattr(torch, args.dtype))
        add(form.name, form.bits, generated(made, form.name, args.dtype))
        shutil.rmtree(made)
    (args.out / "result.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows, len(gpu_cases(False)), args.built_in))


def table(rows: list[dict], parity: int, built_in: bool) -> str:
    """The result as Markdown."""
    if built_in:
        head = ["weights", "latents", "PSNR", "SSIM", "LPIPS"]
    else:
        head = ["weights", "cases of parity.md, median", "worst", "seeds at 1024, median", "worst"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        found = list(row["distances"].values())
        if built_in:
            measured = row["images"]
            cells = [f"{statistics.median(found):.3f} ({max(found):.3f})"]
            for name, digits in (("psnr_db", 1), ("ssim", 3), ("lpips_alex", 4)):
                at = measured[name]
                said = at.get("skipped") or f"{at['median']:.{digits}f} ({at['worst']:.{digits}f})"
                cells.append(said)
        else:
            cells = []
            for part in (found[:parity], found[parity:]):
                cells += [f"{statistics.median(part):.4f}", f"{max(part):.4f}"] if part else ["", ""]
        lines.append("| " + " | ".join([row["form"], *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
