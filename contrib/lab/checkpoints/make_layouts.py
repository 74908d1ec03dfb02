"""Write tests/fixtures/layouts: the reference checkpoint `plain` in the layouts of other programs.

The new names are made here, and then diffusers' own converters have to make the old ones of them; llama.cpp's names are
those of the package gguf. Numbers are not changed, so that images are the same to the bit.

usage: make_layouts.py CHECKPOINT OUT, CHECKPOINT as tests/fixtures/reference/plain
"""

import sys
from pathlib import Path

import gguf
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_vae_checkpoint,
    convert_z_image_transformer_checkpoint_to_diffusers,
)
from safetensors.torch import load_file, save_file

State = dict[str, torch.Tensor]


def load(folder: Path) -> State:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def original(state: State) -> State:
    """The transformer in the names of the original code: ComfyUI's `z_image_to_diffusers`, run backwards."""
    renamed = {"all_x_embedder.2-1.": "x_embedder.", "all_final_layer.2-1.": "final_layer.", ".to_out.0.": ".out.",
               ".norm_q.": ".q_norm.", ".norm_k.": ".k_norm."}
    result = {}
    for name, tensor in state.items():
        if name.endswith(".to_q.weight"):
            block = name.removesuffix("to_q.weight")
            parts = [state[f"{block}to_{part}.weight"] for part in "qkv"]
            result[f"{block}qkv.weight"] = torch.cat(parts)
        elif not name.endswith((".to_k.weight", ".to_v.weight")):
            for old, new in renamed.items():
                name = name.replace(old, new)
            result[name] = tensor
    back = convert_z_image_transformer_checkpoint_to_diffusers(dict(result))
    same(back, state)
    return result


def ldm(state: State, levels: int) -> State:
    """The VAE in the names of latent diffusion, with convolutions in its attention."""
    result = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if "up_blocks" in parts:
            parts[2] = str(levels - 1 - int(parts[2]))
        name = ".".join(parts)
        for old, new in {
            "down_blocks.": "down.", "up_blocks.": "up.", ".downsamplers.0.": ".downsample.",
            ".upsamplers.0.": ".upsample.", "mid_block.resnets.0.": "mid.block_1.",
            "mid_block.resnets.1.": "mid.block_2.", "mid_block.attentions.0.": "mid.attn_1.", ".resnets.": ".block.",
            ".conv_shortcut.": ".nin_shortcut.", "conv_norm_out.": "norm_out.",
        }.items():
            name = name.replace(old, new)
        if ".attn_1." in name:
            for old, new in {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
                name = name.replace(f".{old}.", f".{new}.")
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
        result[name] = tensor
    config = {"down_block_types": [""] * levels, "up_block_types": [""] * levels}
    same(convert_ldm_vae_checkpoint(dict(result), config), state)
    return result


def language(state: State) -> State:
    """The text encoder as a language model without its head, which ties it."""
    state = {f"model.{name.removeprefix('model.')}": tensor for name, tensor in state.items() if "lm_head" not in name}
    return state


def same(left: State, right: State) -> None:
    assert left.keys() == right.keys(), left.keys() ^ right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


def write_gguf(path: Path, arch: str, state: State, facts: dict) -> None:
    """As city96's and llama.cpp's converters do: matrices as bfloat16, vectors as float32, both without loss."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in facts.items():
        getattr(writer, key)(value)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, tensor in state.items():
        kind = gguf.GGMLQuantizationType.F32 if tensor.ndim == 1 else gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, gguf.quants.quantize(tensor.float().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    transformer = original(load(source / "transformer"))
    text_encoder = language(load(source / "text_encoder"))
    vae = ldm(load(source / "vae"), levels=4)
    save_file(
        {f"model.diffusion_model.{name}": tensor for name, tensor in transformer.items()}
        | {f"text_encoders.qwen3_4b.transformer.{name}": tensor for name, tensor in text_encoder.items()}
        | {f"vae.{name}": tensor.contiguous() for name, tensor in vae.items()},
        out / "all-in-one.safetensors",
        metadata={"modelspec.title": "Z-Image-Turbo"},
    )
    write_gguf(out / "transformer.gguf", "lumina2", transformer, {})
    layers = 1 + max(int(name.split(".")[2]) for name in text_encoder if ".layers." in name)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, layers)
    renamed = {names.get_name(name, try_suffixes=(".weight",)): tensor for name, tensor in text_encoder.items()}
    facts = {"add_name": "Qwen3 4B", "add_context_length": 40960, "add_rope_freq_base": 1e6,
             "add_layer_norm_rms_eps": 1e-6}
    write_gguf(out / "text_encoder.gguf", "qwen3", renamed, facts)


if __name__ == "__main__":
    main()
