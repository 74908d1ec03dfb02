"""Writes tests/fixtures/prepared/rows.safetensors: bfloat16 rows, and the 8-bit rows that other
programs make of them, for `zimg prepare`.

comfy-kitchen (its eager backend) makes integers, of weights in float64: a rotation in float32 depends
on the order of sums of the matrix library. Float8 rows are made by torch as `zimage` makes them
under `--dtype float8`.

usage: make_rows.py OUT
"""

import sys
from pathlib import Path

import torch
from comfy_kitchen.backends.eager import quantization
from safetensors.torch import save_file

torch.manual_seed(14)
SHAPES = {"wide": (6, 768), "narrow": (4, 64), "smaller": (4, 48), "odd": (3, 170)}


def rotation(width):
    return next((size for size in [256, 64, 16, 4] if width % size == 0), None)


def main(out):
    tensors = {}
    for name, (rows, width) in SHAPES.items():
        weight = (torch.randn(rows, width) * 0.02).to(torch.bfloat16)
        weight[0] *= 1e-4
        weight[1] *= 1e4
        weight[2, 3:] = 0
        weight[2, 0] = -1.5
        tensors[name] = weight
        exact, size = weight.double(), rotation(width)
        if size is None:
            q, scale = quantization.quantize_int8_rowwise(exact)
        else:
            q, scale = quantization.quantize_int8_convrot_weight(exact, size)
        tensors |= {f"{name}.int8": q, f"{name}.int8_scale": scale.float()}
        single = weight.float()
        scale = single.abs().amax(-1, keepdim=True).clamp_min(1e-12) * (1 / 448)
        q = (single / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
        tensors |= {f"{name}.float8": q, f"{name}.float8_scale": scale}
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "rows.safetensors")


main(Path(sys.argv[1]))
