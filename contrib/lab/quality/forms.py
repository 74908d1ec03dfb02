"""Forms in which weights of fewer bits lie in files and on GPUs: each as the numbers that it stands for.

A form takes a matrix [rows, width] in float32 and gives the numbers that remain of it, in float32. The formulas are
those of the tools that write the forms: `check` compares them with comfy-kitchen's eager backend and gguf, to the bit
where a form has no choice of order. Of Q4_K and other k-quants there is no writer on PyPI, so they have no form here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

FLOAT8_MAX, INT8_MAX, FLOAT4_MAX = 448.0, 127.0, 6.0
# Positive values of E2M1.
FLOAT4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
ROTATIONS = (256, 64, 16, 4)


def rotated(rows: torch.Tensor) -> torch.Tensor:
    """Rows whose groups are rotated, in float64; by the largest size that divides them.

    The matrix is ComfyUI's, a Kronecker power of [[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]] / 2, and
    its own inverse.
    """
    width = rows.shape[1]
    size = next((size for size in ROTATIONS if width % size == 0), 1)
    groups, step = rows.double(), 1
    while step < size:
        groups = groups.reshape(-1, 4, step)
        groups = groups.sum(1, keepdim=True) / 2 - groups.flip(1)
        step *= 4
    return groups.reshape(rows.shape)


def grouped(width: int, most: int) -> int:
    """The largest size of a block that divides a row; formats have no other than `most`."""
    return next(size for size in range(most, 0, -1) if width % size == 0)


def float8_rows(rows: torch.Tensor) -> torch.Tensor:
    scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) * torch.tensor(1.0 / FLOAT8_MAX)
    return (rows / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX).to(torch.float8_e4m3fn).float() * scale


def float8_tensor(rows: torch.Tensor) -> torch.Tensor:
    scale = rows.abs().max() / FLOAT8_MAX
    return (rows / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX).to(torch.float8_e4m3fn).float() * scale


def int8_tensor(rows: torch.Tensor) -> torch.Tensor:
    scale = (rows.abs().max() / INT8_MAX).clamp_min(1e-30)
    return (rows / scale).round().clamp(-128, INT8_MAX) * scale


def int8_rows(rows: torch.Tensor) -> torch.Tensor:
    scale = (rows.abs().amax(1, keepdim=True) / INT8_MAX).clamp_min(1e-30)
    return (rows / scale).round().clamp(-128, INT8_MAX) * scale


def int8_convrot(rows: torch.Tensor) -> torch.Tensor:
    turned = rotated(rows)
    scale = (turned.abs().amax(1, keepdim=True).float() / INT8_MAX).clamp_min(1e-30)
    return rotated((turned / scale.double()).round().clamp(-128, INT8_MAX) * scale.double()).float()


def q8_0(rows: torch.Tensor) -> torch.Tensor:
    blocks = rows.reshape(-1, grouped(rows.shape[1], 32))
    scale = blocks.abs().amax(1, keepdim=True) / INT8_MAX
    inverse = torch.where(scale == 0, 0.0, 1.0 / scale)
    # Away from zero in the middle, as C's roundf.
    values = blocks * inverse
    whole = (values.abs() + 0.5).floor() * values.sign()
    return (whole * scale.half().float()).reshape(rows.shape)


def q4_0(rows: torch.Tensor) -> torch.Tensor:
    blocks = rows.reshape(-1, grouped(rows.shape[1], 32))
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = largest / -8.0
    inverse = torch.where(scale == 0, 0.0, 1.0 / scale)
    whole = (blocks * inverse + 8.5).trunc().clamp(0, 15) - 8
    return (whole * scale.half().float()).reshape(rows.shape)


def float4(values: torch.Tensor) -> torch.Tensor:
    """The nearest E2M1; in the middle the one whose last bit is 0."""
    table = torch.tensor(FLOAT4, device=values.device)
    middles = (table[1:] + table[:-1]) / 2
    size = values.abs().clamp_max(FLOAT4_MAX)
    low, high = torch.bucketize(size, middles), torch.bucketize(size, middles, right=True)
    return table[torch.where(low % 2 == 0, low, high)] * values.sign()


def nvfp4(rows: torch.Tensor) -> torch.Tensor:
    blocks = rows.reshape(-1, grouped(rows.shape[1], 16))
    all_scale = rows.abs().max() / (FLOAT8_MAX * FLOAT4_MAX)
    scale = blocks.abs().amax(1, keepdim=True) / FLOAT4_MAX / all_scale
    scale = scale.clamp(max=FLOAT8_MAX).to(torch.float8_e4m3fn).float() * all_scale
    values = torch.where(scale == 0, 0.0, blocks / scale)
    return (float4(values) * scale).reshape(rows.shape)


def mxfp8(rows: torch.Tensor) -> torch.Tensor:
    blocks = rows.reshape(-1, grouped(rows.shape[1], 32))
    exponent = torch.ceil(torch.log2((blocks.abs().amax(1, keepdim=True) / FLOAT8_MAX).clamp_min(2.0**-127)))
    scale = torch.exp2(exponent)
    return ((blocks / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX).to(torch.float8_e4m3fn).float() * scale).reshape(rows.shape)


@dataclass(frozen=True)
class Form:
    """A form, and the matrices that files have in it."""

    name: str
    numbers: Callable[[torch.Tensor], torch.Tensor]
    # Refiners and modulation, too, as in ComfyUI's int8 file and in GGUF files.
    all_blocks: bool
    bits: float


FORMS = (
    Form("float8 rows", float8_rows, False, 8.0),
    Form("float8 tensor-wise", float8_tensor, True, 8.0),
    Form("int8 ConvRot", int8_convrot, True, 8.0),
    Form("int8 rows", int8_rows, True, 8.0),
    Form("int8 tensor-wise", int8_tensor, True, 8.0),
    Form("Q8_0", q8_0, True, 8.5),
    Form("MXFP8", mxfp8, True, 8.25),
    Form("NVFP4", nvfp4, False, 4.5),
    Form("Q4_0", q4_0, True, 4.5),
)


def takes(form: Form, name: str) -> bool:
    """Whether a tensor of the transformer, by diffusers' name, lies in this form."""
    parts = name.split(".")
    groups = ("layers", "noise_refiner", "context_refiner") if form.all_blocks else ("layers",)
    if parts[0] not in groups or parts[-1] != "weight" or len(parts) < 4:
        return False
    if parts[2] == "adaLN_modulation":
        return form.all_blocks
    return parts[2] in ("attention", "feed_forward") and "norm" not in parts[3]


def check() -> None:
    """Compare with the tools that write the forms, where they are installed."""
    import comfy_kitchen as ck
    import gguf
    from comfy_kitchen.backends.eager import quantization as eager

    torch.manual_seed(0)
    rows = torch.randn(64, 512).bfloat16().float() * torch.rand(64, 1)
    rows[3, 7] = 40.0

    def from_gguf(kind) -> torch.Tensor:
        data = gguf.quantize(rows.numpy(), kind)
        return torch.from_numpy(gguf.dequantize(data, kind).astype("float32").reshape(rows.shape))

    all_scale = rows.abs().max() / (448 * 6)
    q, blocks = eager.quantize_nvfp4(rows, all_scale)
    q8, scale8 = eager.quantize_int8_tensorwise(rows)
    turned, scale = eager.quantize_int8_convrot_weight(rows.double(), 256)
    m, m_scale = eager.quantize_mxfp8(rows)
    f_scale = rows.abs().max() / 448
    theirs = {
        "float8 tensor-wise": eager.dequantize_per_tensor_fp8(
            ck.quantize_per_tensor_fp8(rows, f_scale, torch.float8_e4m3fn), f_scale, torch.float32),
        "int8 ConvRot": eager.dequantize_int8_convrot_weight(turned, scale.double(), 256).float(),
        "int8 tensor-wise": eager.dequantize_int8_simple(q8, scale8),
        "NVFP4": eager.dequantize_nvfp4(q, all_scale, blocks, torch.float32),
        "MXFP8": eager.dequantize_mxfp8(m, m_scale, torch.float32),
        "Q8_0": from_gguf(gguf.GGMLQuantizationType.Q8_0),
        "Q4_0": from_gguf(gguf.GGMLQuantizationType.Q4_0),
    }
    for form in FORMS:
        ours = form.numbers(rows)
        own = ((ours - rows).norm() / rows.norm()).item()
        if form.name in theirs:
            off = ((ours - theirs[form.name]).norm() / rows.norm()).item()
            print(f"{form.name}: {own:.4f} from the weights, {off:.1e} from the tool's numbers")
            assert off < own * 0.02, form.name
        else:
            print(f"{form.name}: {own:.4f} from the weights")


if __name__ == "__main__":
    check()
