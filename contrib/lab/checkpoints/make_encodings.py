"""Writes tests/fixtures/encodings: every encoding that zimg reads, with the numbers that the tools
which define it find in it.

The package gguf writes what it can write; of the other block types it decodes random valid blocks.
comfy-kitchen (its eager backend) writes ComfyUI's formats. Rotated weights are rotated back by
comfy-kitchen's own matrices in float64: a product in float32 depends on the library's order of sums.

usage: make_encodings.py OUT
"""

import json
import sys
from pathlib import Path

import comfy_kitchen as ck
import gguf
import numpy as np
import torch
from comfy_kitchen.backends.eager import convrot_w4a4, quantization, svdquant, w4a8_int8
from comfy_kitchen.tensor import int8_utils
from safetensors.torch import save_file

torch.manual_seed(14)
rng = np.random.default_rng(14)
Q = gguf.GGMLQuantizationType

# Block types, and where a block has its half-precision scales.
SCALES = {
    Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82],
    Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208], Q.IQ4_NL: [0], Q.IQ4_XS: [0],
}
WRITTEN = [Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0]


def random_blocks(kind, blocks):
    """Blocks of random bytes whose scales are finite: weights' own sizes, subnormal ones and zero."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    data = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = rng.normal(0, 0.01, blocks).astype(np.float16)
        scale[:3] = [np.float16(6e-8), np.float16(0), np.float16(-65504)]
        data[:, at:at + 2] = scale.reshape(-1, 1).view(np.uint8)
    return data


def write_gguf(out, expected):
    writer = gguf.GGUFWriter(out / "blocks.gguf", arch="lumina2")
    writer.add_array("tokenizer.ggml.tokens", ["a", "list", "that", "is", "skipped"])
    for kind in [Q.F32, *WRITTEN]:
        name, values = f"written.{kind.name}", rng.normal(0, 0.02, (3, 512)).astype(np.float32)
        data = gguf.quantize(values, kind)
        expected[name] = torch.from_numpy(gguf.dequantize(data, kind).astype(np.float32).reshape(3, 512))
        writer.add_tensor(name, data, raw_dtype=kind)
    for kind in SCALES:
        name, numbers = f"random.{kind.name}", gguf.GGML_QUANT_SIZES[kind][0]
        data = random_blocks(kind, 3 * 1024 // numbers).reshape(3, -1)
        expected[name] = torch.from_numpy(gguf.dequantize(data, kind).reshape(3, 1024).copy())
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rotate(weight, size):
    return int8_utils._rotate_weight(weight, int8_utils._build_hadamard(size, dtype=torch.float64), size)


def close(found, theirs):
    """The same numbers as comfy-kitchen's in float32, but for its roundings of sums."""
    assert (found - theirs).abs().max() <= 1e-5 * theirs.abs().max(), "another dequantize"
    return found.float()


def layers():
    """Weights by name: tensors by suffix, ComfyUI's JSON, and the expected numbers."""
    def weight(*shape):
        return torch.randn(shape) * 0.02
    for kind, dtype in [("float8_e4m3fn", torch.float8_e4m3fn), ("float8_e5m2", torch.float8_e5m2)]:
        w = weight(3, 512)
        scale = w.abs().max() / torch.finfo(dtype).max
        q = ck.quantize_per_tensor_fp8(w, scale, dtype)
        yield kind, {"weight": q, "weight_scale": scale}, {"format": kind}, \
            quantization.dequantize_per_tensor_fp8(q, scale, torch.float32)
    w = weight(3, 512)
    scale = w.abs().amax(1, keepdim=True) / 448
    q = (w / scale).to(torch.float8_e4m3fn)
    yield "float8_rows", {"weight": q, "weight_scale": scale}, {"format": "float8_e4m3fn"}, \
        quantization.dequantize_per_tensor_fp8(q, scale, torch.float32)
    q, scale = quantization.quantize_int8_tensorwise(weight(3, 512))
    yield "int8", {"weight": q, "weight_scale": scale}, {"format": "int8_tensorwise"}, \
        quantization.dequantize_int8_simple(q, scale)
    q, scale = quantization.quantize_int8_rowwise(weight(3, 512))
    yield "int8_rows", {"weight": q, "weight_scale": scale}, {"format": "int8_tensorwise"}, \
        quantization.dequantize_int8_simple(q, scale)
    for size in [256, 64]:
        q, scale = quantization.quantize_int8_convrot_weight(weight(5, 768), size)
        conf = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": size}
        exact = quantization.dequantize_int8_convrot_weight(q, scale.double(), size)
        theirs = quantization.dequantize_int8_convrot_weight(q, scale, size)
        yield f"int8_convrot_{size}", {"weight": q, "weight_scale": scale}, conf, close(exact, theirs)
    q, scale = convrot_w4a4.quantize_convrot_w4a4_weight(weight(5, 768))
    exact = rotate(svdquant._unpack_int4_row_major(q).double() * scale.double().reshape(-1, 1), 256)
    yield "convrot_w4a4", {"weight": q, "weight_scale": scale}, \
        {"format": "convrot_w4a4", "convrot_groupsize": 256}, \
        close(exact, convrot_w4a4.dequantize_convrot_w4a4_weight(q, scale))
    for name, kwargs in [
        ("w4a8", {}), ("w4a8_uniform", {"codebook": False}), ("w6a8", {"bits": 6}),
        ("w4a8_float32", {"scale_dtype": torch.float32, "group_size": 32, "convrot_groupsize": 64}),
    ]:
        q, rel, channel, correction, codebook = w4a8_int8.quantize_w4a8_int8_weight(weight(5, 768), **kwargs)
        assert correction is None
        group, size = kwargs.get("group_size", 16), kwargs.get("convrot_groupsize", 256)
        integers = w4a8_int8._dequant_int4_grouped_to_int8(q, rel, codebook, group)
        exact = rotate(integers.double() * channel.double().reshape(-1, 1), size)
        theirs = w4a8_int8.dequantize_w4a8_int8_weight(
            q, rel, channel, codebook, None, group, size, torch.float32)
        tensors = {"weight": q, "weight_s_rel": rel, "weight_s_channel": channel}
        if codebook is not None:
            tensors["weight_codebook"] = codebook
        yield name, tensors, \
            {"format": "asym_w4a8_int8", "group_size": group, "convrot_groupsize": size}, close(exact, theirs)
    # More rows than a tile of scales has, and columns that do not fill one.
    q, scale = quantization.quantize_mxfp8(weight(160, 96))
    yield "mxfp8", {"weight": q, "weight_scale": scale.view(torch.uint8)}, {"format": "mxfp8"}, \
        quantization.dequantize_mxfp8(q, scale, torch.float32)
    w = weight(144, 96)
    scale = w.abs().max() / (448 * 6)
    q, blocks = quantization.quantize_nvfp4(w, scale)
    yield "nvfp4", {"weight": q, "weight_scale": blocks, "weight_scale_2": scale, "input_scale": torch.tensor(1.0)}, \
        {"format": "nvfp4"}, quantization.dequantize_nvfp4(q, scale, blocks, torch.float32)


def write_comfy(out, expected):
    named, described, metadata = {}, {}, {}
    for layer, tensors, conf, numbers in layers():
        for suffix, tensor in tensors.items():
            named[f"{layer}.{suffix}"] = described[f"model.diffusion_model.{layer}.{suffix}"] = tensor.contiguous()
        text = json.dumps(conf).encode()
        named[f"{layer}.comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)
        metadata[layer] = conf
        expected[f"{layer}.weight"] = numbers
    plain = torch.randn(3, 8).to(torch.float8_e4m3fn)
    named["plain.weight"], expected["plain.weight"] = plain, plain.float()
    save_file(named, out / "comfy_quant.safetensors")
    # The same, described in the metadata, with the prefix that it does not have there.
    layers_text = json.dumps({"format_version": "1.0", "layers": metadata})
    save_file(described, out / "metadata.safetensors", {"_quantization_metadata": layers_text})
    q = torch.randn(3, 64).to(torch.float8_e4m3fn)
    scale = torch.tensor(0.37)
    save_file({
        "scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn),
        "old.weight": q, "old.scale_weight": scale, "old.scale_input": torch.tensor(1.0),
        "old.bias": torch.randn(3),
    }, out / "scaled_fp8.safetensors")
    expected["old.weight"] = quantization.dequantize_per_tensor_fp8(q, scale, torch.float32)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    expected = {}
    write_gguf(out, expected)
    write_comfy(out, expected)
    assert all(torch.isfinite(values).all() for values in expected.values())
    save_file({name: values.contiguous() for name, values in expected.items()}, out / "expected.safetensors")


if __name__ == "__main__":
    main()
