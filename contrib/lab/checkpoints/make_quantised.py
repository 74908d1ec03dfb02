"""Write tests/fixtures/quantised: the reference checkpoint `plain` quantised by other programs, and the latents that
diffusers computes from the numbers which these programs find in their files.

Every matrix has the next one of the formats that its width allows. The package gguf and comfy-kitchen (its eager
backend) quantise and dequantise; diffusers' converter turns the names back; its pipeline runs in float32 on one thread.

usage: make_quantised.py CHECKPOINT OUT, CHECKPOINT as tests/fixtures/reference/plain
"""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import comfy_kitchen as ck
import gguf
import numpy
import torch
from comfy_kitchen.backends.eager import quantization, w4a8_int8
from diffusers import ZImagePipeline, ZImageTransformer2DModel
from diffusers.loaders.single_file_utils import convert_z_image_transformer_checkpoint_to_diffusers
from safetensors.torch import save_file

from make_encodings import close, rotate
from make_layouts import State, language, load, original

Q = gguf.GGMLQuantizationType
BLOCKS = ("attention.", "self_attn.", "feed_forward.", "mlp.", "adaLN_modulation.")
PROMPT, SIZE, STEPS, SEED = "a red fox in the snow", (96, 64), 4, 7


def matrices(state: State) -> Iterator[tuple[str, torch.Tensor]]:
    """The matrices that converters quantise."""
    for name, tensor in state.items():
        if tensor.ndim == 2 and any(part in name for part in BLOCKS):
            yield name, tensor.float()


def as_gguf(path: Path, state: State) -> State:
    """A mixed GGUF file; what it holds. Rows that are no multiple of 32 stay bfloat16, as converters leave them."""
    kinds = itertools.cycle([Q.Q4_0, Q.Q8_0, Q.Q5_0, Q.Q4_1, Q.Q5_1])
    chosen = {name: next(kinds) for name, tensor in matrices(state) if tensor.shape[1] % 32 == 0}
    writer, found = gguf.GGUFWriter(path, "lumina2"), {}
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, tensor in state.items():
        kind = chosen.get(name, Q.F32 if tensor.ndim == 1 else Q.BF16)
        data = gguf.quantize(tensor.float().numpy(), kind)
        found[name] = torch.from_numpy(gguf.dequantize(data, kind).astype("float32").reshape(tensor.shape))
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found


# Scales of k-quants and their like that make numbers of some 0.05 of random blocks: offset in the block, value.
RANDOM_BLOCKS = {
    Q.Q2_K: {80: 0.004, 82: 0.006}, Q.Q3_K: {108: 0.0012}, Q.Q4_K: {0: 0.0003, 2: 0.00225},
    Q.Q5_K: {0: 0.00015, 2: 0.0023}, Q.Q6_K: {208: 3.7e-5}, Q.IQ4_NL: {0: 0.0008}, Q.IQ4_XS: {0: 4.3e-5},
}


def as_k_quants(path: Path, config: dict) -> tuple[dict, State]:
    """A GGUF file of a transformer 256 wide, whose matrices are random blocks of the types that gguf only reads.

    Any bytes are a block, and the scales are chosen. Rows that are no multiple of 256 are float16, the rest is random.
    """
    config = config | dict(dim=256, n_heads=8, n_kv_heads=8, n_layers=1, n_refiner_layers=1)
    torch.manual_seed(3)
    random = numpy.random.default_rng(3)
    model = ZImageTransformer2DModel.from_config(config)
    state = original({name: tensor.bfloat16() for name, tensor in model.state_dict().items()})
    kinds, found = itertools.cycle(RANDOM_BLOCKS), {}
    chosen = {name: next(kinds) for name, tensor in matrices(state) if tensor.shape[1] % 256 == 0}
    assert set(chosen.values()) == set(RANDOM_BLOCKS)
    writer = gguf.GGUFWriter(path, "lumina2")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, tensor in state.items():
        kind = chosen.get(name, Q.F32 if tensor.ndim == 1 else Q.F16)
        if kind in RANDOM_BLOCKS:
            numbers, size = gguf.GGML_QUANT_SIZES[kind]
            data = random.integers(0, 256, (tensor.numel() // numbers, size), dtype=numpy.uint8)
            for at, value in RANDOM_BLOCKS[kind].items():
                data[:, at:at + 2] = numpy.frombuffer(numpy.float16(value).tobytes(), numpy.uint8)
            data = data.reshape(tensor.shape[0], -1)
        else:
            data = gguf.quantize(tensor.float().numpy(), kind)
        found[name] = torch.from_numpy(gguf.dequantize(data, kind).astype("float32").reshape(tensor.shape))
        assert found[name].isfinite().all() and found[name].abs().max() < 4, (name, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return config, found


def float8(weight: torch.Tensor, dtype: torch.dtype) -> tuple[State, dict, torch.Tensor]:
    scale = weight.abs().max() / torch.finfo(dtype).max
    q = ck.quantize_per_tensor_fp8(weight, scale, dtype)
    numbers = quantization.dequantize_per_tensor_fp8(q, scale, torch.float32)
    return {"weight": q, "weight_scale": scale}, {"format": str(dtype).removeprefix("torch.")}, numbers


def int8(weight: torch.Tensor) -> tuple[State, dict, torch.Tensor]:
    q, scale = quantization.quantize_int8_tensorwise(weight)
    numbers = quantization.dequantize_int8_simple(q, scale)
    return {"weight": q, "weight_scale": scale}, {"format": "int8_tensorwise"}, numbers


def convrot(weight: torch.Tensor) -> tuple[State, dict, torch.Tensor]:
    q, scale = quantization.quantize_int8_convrot_weight(weight, 64)
    exact = quantization.dequantize_int8_convrot_weight(q, scale.double(), 64)
    numbers = close(exact, quantization.dequantize_int8_convrot_weight(q, scale, 64))
    conf = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 64}
    return {"weight": q, "weight_scale": scale}, conf, numbers


def w4a8(weight: torch.Tensor) -> tuple[State, dict, torch.Tensor]:
    q, rel, channel, _, codebook = w4a8_int8.quantize_w4a8_int8_weight(weight, group_size=32, convrot_groupsize=64)
    integers = w4a8_int8._dequant_int4_grouped_to_int8(q, rel, codebook, 32)
    exact = rotate(integers.double() * channel.double().reshape(-1, 1), 64)
    theirs = w4a8_int8.dequantize_w4a8_int8_weight(q, rel, channel, codebook, None, 32, 64, torch.float32)
    tensors = {"weight": q, "weight_s_rel": rel, "weight_s_channel": channel, "weight_codebook": codebook}
    conf = {"format": "asym_w4a8_int8", "group_size": 32, "convrot_groupsize": 64}
    return tensors, conf, close(exact, theirs)


def mxfp8(weight: torch.Tensor) -> tuple[State, dict, torch.Tensor]:
    q, scale = quantization.quantize_mxfp8(weight)
    numbers = quantization.dequantize_mxfp8(q, scale, torch.float32)
    return {"weight": q, "weight_scale": scale.view(torch.uint8)}, {"format": "mxfp8"}, numbers


def nvfp4(weight: torch.Tensor) -> tuple[State, dict, torch.Tensor]:
    scale = weight.abs().max() / (448 * 6)
    q, blocks = quantization.quantize_nvfp4(weight, scale)
    numbers = quantization.dequantize_nvfp4(q, scale, blocks, torch.float32)
    return {"weight": q, "weight_scale": blocks, "weight_scale_2": scale}, {"format": "nvfp4"}, numbers


def as_comfy(path: Path, state: State, prefix: str) -> State:
    """A file of mixed precision as ComfyUI describes it, by tensors beside the weights; what it holds."""
    narrow = [lambda w: float8(w, torch.float8_e4m3fn), int8, lambda w: float8(w, torch.float8_e5m2)]
    any_width, wide = itertools.cycle(narrow), itertools.cycle([nvfp4, *narrow, convrot, w4a8, mxfp8])
    written = {prefix + name: tensor for name, tensor in state.items()}
    found = {name: tensor.float() for name, tensor in state.items()}
    for name, tensor in matrices(state):
        write = next(wide if tensor.shape[1] % 64 == 0 else any_width)
        tensors, conf, numbers = write(tensor)
        assert numbers.shape == tensor.shape, name
        found[name] = numbers.float()
        layer = prefix + name.removesuffix(".weight")
        written |= {f"{layer}.{suffix}": value.contiguous() for suffix, value in tensors.items() if value is not None}
        written[f"{layer}.comfy_quant"] = torch.tensor(list(json.dumps(conf).encode()), dtype=torch.uint8)
    save_file({name: tensor.contiguous() for name, tensor in written.items()}, path)
    return found


@torch.no_grad()
def latents(
    source: Path, transformer: State, text_encoder: State | None, config: dict | None = None
) -> torch.Tensor:
    """What diffusers computes from these numbers, with a transformer of another configuration if one is given."""
    pipe = ZImagePipeline.from_pretrained(source, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if config is not None:
        pipe.transformer = ZImageTransformer2DModel.from_config(config).eval()
    pipe.transformer.load_state_dict(convert_z_image_transformer_checkpoint_to_diffusers(dict(transformer)))
    if text_encoder is not None:
        own = {name.removeprefix("model."): name for name in pipe.text_encoder.state_dict() if "lm_head" not in name}
        found = {own[name.removeprefix("model.")]: tensor for name, tensor in text_encoder.items()}
        assert len(found) == len(own)
        pipe.text_encoder.load_state_dict(found, strict=False)
    generator = torch.Generator("cpu").manual_seed(SEED)
    width, height = SIZE
    return pipe(PROMPT, width=width, height=height, num_inference_steps=STEPS, guidance_scale=0.0, generator=generator,
                output_type="latent").images


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformer, text_encoder = original(load(source / "transformer")), language(load(source / "text_encoder"))
    config, k_quants = as_k_quants(out / "k_quants.gguf", ZImageTransformer2DModel.load_config(source / "transformer"))
    k_latents = latents(source, k_quants, None, config)
    save_file({"latents": k_latents.contiguous()}, out / "k_latents.safetensors")
    blocks = as_gguf(out / "mixed.gguf", transformer)
    comfy = as_comfy(out / "mixed.safetensors", transformer, "model.diffusion_model.")
    language_model = as_comfy(out / "text_encoder.safetensors", text_encoder, "")
    expected = {
        "exact": latents(source, transformer | {n: t.float() for n, t in transformer.items()}, None),
        "gguf": latents(source, blocks, None),
        "comfy": latents(source, comfy, language_model),
    }
    for name, tensor in expected.items():
        print(name, "is from the exact latents", ((tensor - expected["exact"]).norm() / expected["exact"].norm()).item())
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, out / "latents.safetensors")


if __name__ == "__main__":
    main()
