"""The parity figures: contrib/lab/reference/gpu_parity.py with every fast path on, and our other ways of computing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from ours import Programs

SCRIPT = Path(__file__).resolve().parents[1] / "reference/gpu_parity.py"


def measure(programs: Programs, checkpoint: Path, out: Path, tiny: bool) -> dict:
    """`default` and `plain`: distances from diffusers in units of its own noise floor. `float8`: relative distance of
    the latents from our own in bfloat16."""
    if not programs.latents.exists():
        return {"skipped": "the program latents is not built: `cargo build --release -p zimage --example latents`"}
    device, dtype = ("cpu", "float32") if tiny else ("cuda:0", "bfloat16")
    result = out / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, SCRIPT, "--program", programs.latents.resolve(), "--checkpoint", checkpoint, "--out", out]
    command += ["--device", device, "--dtype", dtype]
    command += ["--tiny", "--backends", "native", "_native_math"] if tiny else []
    log = out / "log"
    out.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as said:
        subprocess.run(command, env=programs.environment, stdout=said, stderr=said)
    if not result.exists():
        lines = log.read_text(errors="replace").strip().splitlines()
        return {"skipped": f"gpu_parity.py failed: {lines[-1][:300] if lines else 'no word'}"}
    found = json.loads(result.read_text())
    # The noise floor is a matter of rounding to 16 bits; between float32 backends a ratio says little.
    report = {"dtype": dtype, "limit": found["limit"],
              "default": {"worst": found["worst"], "median": found["median"]}}
    if not tiny:
        report["replayed from CUDA graphs"] = replayed(programs, checkpoint, dtype, device)
    rows = {row["case"]: row for row in found["rows"]}
    latents = {"plain": (dtype, ["--eager"]), "float8": ("float8", [])}
    for name, (kind, extra) in latents.items():
        ours = out / name
        ours.mkdir(exist_ok=True)
        command = [programs.latents, checkpoint, out / "cases.json", ours, kind, device, *extra]
        ran = subprocess.run(command, env=programs.environment, capture_output=True, text=True)
        if ran.returncode != 0:
            said = (ran.stderr.strip() or ran.stdout.strip() or "no word").splitlines()
            report[name] = {"skipped": f"latents ended with {ran.returncode}: {said[-1][:200]}"}
        elif name == "plain":
            floors = {case: row["ours"] / row["ratio"] for case, row in rows.items() if 0 < row["ratio"] < float("inf")}
            report[name] = spread([value / floors[case] for case, value in distances(out, ours, True).items()
                                   if case in floors])
        else:
            report[name] = spread(list(distances(out, ours, False).values())) | {"relative distance of": "latents"}
    return report


def replayed(programs: Programs, checkpoint: Path, dtype: str, device: str) -> str:
    """Whether small images from recordings are those that are computed launch by launch, to the bit."""
    if not programs.replay.exists():
        return "not compared: `cargo build --release -p zimage --example replay`"
    command = [programs.replay, checkpoint, dtype, device]
    ran = subprocess.run(command, env=programs.environment, capture_output=True, text=True)
    return "the same bits" if ran.returncode == 0 else f"NOT THE SAME: {(ran.stderr.strip() or ran.stdout)[-300:]}"


def distances(out: Path, ours: Path, from_diffusers: bool) -> dict[str, float]:
    """Of our final latents from diffusers' (its first backend) or from our own default, relative by norm."""
    import numpy
    from safetensors.numpy import load_file

    theirs = load_file(out / "native.safetensors") if from_diffusers else {}
    found = {}
    for file in sorted(ours.glob("*.safetensors")):
        got = load_file(file)["latents"].astype("float64")
        want = theirs[file.stem] if from_diffusers else load_file(out / "ours" / file.name)["latents"]
        want = want.astype("float64")
        found[file.stem] = float(numpy.linalg.norm(got - want) / numpy.linalg.norm(want))
    return found


def spread(values: list[float]) -> dict:
    return {"worst": max(values), "median": statistics.median(values)} if values else {"skipped": "nothing to compare"}
