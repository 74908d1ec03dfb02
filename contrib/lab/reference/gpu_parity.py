"""How far our latents are from diffusers' in bfloat16, measured by how far diffusers is from itself.

usage: gpu_parity.py --program target/release/examples/latents [--checkpoint DIR] [--out DIR] [options]

Draws the same cases with diffusers under several of its attention backends, and with our program. The noise floor is
the smallest distance of another backend from the first one (0 does not count: two names for one kernel). Exits with 1
if ours is further than 1.5 times that from the first one.
Without --checkpoint a full-size one with random weights is made first (20 GB). Needs the packages of requirements.txt;
`cargo build --release -p zimage --example latents` builds the program.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from diffusers import ZImagePipeline
from diffusers.utils import logging
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

import full_size
from cases import Case, gpu_cases

LIMIT = 1.5
TOKENIZER = Path(__file__).resolve().parents[3] / "tests/fixtures/reference/plain/tokenizer"


def reference(pipe: ZImagePipeline, case: Case) -> torch.Tensor:
    """Final latents of diffusers, float32 on the CPU."""
    return pipe(
        case.prompt,
        width=case.width,
        height=case.height,
        num_inference_steps=case.steps,
        guidance_scale=case.guidance,
        negative_prompt=case.negative,
        generator=torch.Generator("cpu").manual_seed(case.seed),
        output_type="latent",
    ).images.cpu()


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of a from b, relative."""
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def table(rows: list[dict], backends: list[str]) -> str:
    """The result as Markdown."""
    first, *others = backends
    head = ["case", "size", "steps", *(f"{name} from {first}" for name in others), f"ours from {first}", "ratio"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [row["case"], row["size"], str(row["steps"])]
        cells += [f"{row['backends'][name]:.2e}" for name in others]
        lines.append("| " + " | ".join([*cells, f"{row['ours']:.2e}", f"{row['ratio']:.2f}"]) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("target/gpu-parity"))
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, help="for the checkpoint that is made")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--backends", nargs="+", default=["native", "_native_cudnn", "_native_efficient"])
    parser.add_argument("--tiny", action="store_true", help="a tiny checkpoint and small pictures: tests this script")
    args = parser.parse_args()
    started = time.time()

    def say(text: str) -> None:
        print(f"gpu_parity: {time.time() - started:5.1f} s: {text}", file=sys.stderr, flush=True)

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    ours = args.out / "ours"
    ours.mkdir(parents=True, exist_ok=True)
    checkpoint = args.checkpoint or args.out / "checkpoint"
    if not (checkpoint / "model_index.json").exists():
        say(f"making a checkpoint with random weights in {checkpoint}")
        full_size.save(checkpoint, args.tokenizer, args.tiny)

    say("loading diffusers")
    pipe = ZImagePipeline.from_pretrained(checkpoint, dtype=getattr(torch, args.dtype))
    pipe.to(args.device).set_progress_bar_config(disable=True)
    todo = gpu_cases(args.tiny)
    theirs: dict[str, dict[str, torch.Tensor]] = {}
    for backend in args.backends:
        pipe.transformer.set_attention_backend(backend)
        theirs[backend] = {case.name: reference(pipe, case) for case in todo}
        save_file(theirs[backend], args.out / f"{backend}.safetensors")
        say(f"diffusers has drawn with {backend}")
    del pipe
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

    (args.out / "cases.json").write_text(json.dumps([case.record() for case in todo]))
    libtorch = Path(torch.__file__).parent / "lib"
    environment = os.environ | {"LD_LIBRARY_PATH": f"{libtorch}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    command = [args.program, checkpoint, args.out / "cases.json", ours, args.dtype, args.device]
    if subprocess.run(command, env=environment).returncode != 0:
        say("our program failed")
        return 1
    say("our program has drawn")

    first, *others = args.backends
    rows = []
    for case in todo:
        want = theirs[first][case.name]
        got = load_file(ours / f"{case.name}.safetensors")["latents"]
        floors = {name: distance(theirs[name][case.name], want) for name in others}
        row = {"case": case.name, "size": f"{case.width}×{case.height}", "steps": case.steps, "backends": floors}
        row["ours"] = distance(got, want)
        floor = min((floor for floor in floors.values() if floor > 0), default=0.0)
        row["ratio"] = row["ours"] / floor if floor else float("inf") if row["ours"] else 0.0
        rows.append(row)
    worst = max(row["ratio"] for row in rows)
    report = table(rows, args.backends)
    summary = {
        "device": torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else "CPU",
        "torch": torch.__version__,
        "dtype": args.dtype,
        "limit": LIMIT,
        "worst": worst,
        "median": statistics.median(row["ratio"] for row in rows),
        "rows": rows,
    }
    (args.out / "result.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    (args.out / "result.md").write_text(report + "\n")
    print(report)
    print(f"\nThe worst ratio is {worst:.2f}, the median {summary['median']:.2f}; at most {LIMIT} is wanted.")
    # Written so that NaN fails.
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
