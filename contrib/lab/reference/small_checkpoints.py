"""Small random checkpoints in the layout of diffusers, each with other dimensions and another way of being stored.

The weights are coarse (a small integer times a scale of five bits), so that bfloat16, float16 and float32 hold them
exactly, and a git object of them is small; they are scaled so that every path contributes to the result.
"""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

import small_tokenizer


@dataclass
class Checkpoint:
    """One checkpoint: its dimensions, and how it lies on disk."""

    seed: int
    shift: float
    transformer: dict
    text_encoder: dict
    vae: dict
    vocabulary: int
    dtype: torch.dtype
    transformer_shard: str = "1GB"
    text_encoder_shard: str = "1GB"
    # With `model.` before the names and an lm_head of its own, as causal language models are saved.
    causal_lm: bool = False
    # The text encoder's config.json as transformers 4 writes it: rope_theta at the top, torch_dtype.
    old_config: bool = False
    # Weights are integers from -levels to levels times a scale.
    levels: int = 3
    # Sets the contrast of the pictures: low enough that rounding rarely moves a value to the next 1/255.
    vae_gain: float = 0.25


CHECKPOINTS = {
    "plain": Checkpoint(
        seed=1,
        shift=3.0,
        transformer=dict(dim=64, n_layers=3, n_refiner_layers=2, n_heads=2, n_kv_heads=2, axes_dims=[8, 12, 12],
                         axes_lens=[1536, 512, 512], cap_feat_dim=48, norm_eps=1e-5, rope_theta=256.0),
        text_encoder=dict(hidden_size=48, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
                          num_key_value_heads=2, head_dim=16, rope_theta=1e6, rms_norm_eps=1e-6),
        vae=dict(block_out_channels=[8, 16, 16, 24], layers_per_block=2, norm_num_groups=4,
                 scaling_factor=0.3611, shift_factor=0.1159),
        vocabulary=480,
        dtype=torch.bfloat16,
        transformer_shard="500KB",
        causal_lm=True,
        old_config=True,
    ),
    # dim above 256, where the width of the modulation stops at 256.
    "broad": Checkpoint(
        seed=2,
        shift=6.0,
        transformer=dict(dim=260, n_layers=1, n_refiner_layers=1, n_heads=10, n_kv_heads=10, axes_dims=[6, 8, 12],
                         axes_lens=[512, 64, 64], cap_feat_dim=40, norm_eps=1e-5, rope_theta=256.0),
        text_encoder=dict(hidden_size=40, intermediate_size=88, num_hidden_layers=3, num_attention_heads=4,
                          num_key_value_heads=4, head_dim=10, rope_theta=1e6, rms_norm_eps=1e-6),
        vae=dict(block_out_channels=[8, 12, 12, 16], layers_per_block=1, norm_num_groups=4,
                 scaling_factor=0.3611, shift_factor=0.1159),
        vocabulary=400,
        dtype=torch.float16,
        text_encoder_shard="60KB",
        levels=1,
        old_config=True,
    ),
    "odd": Checkpoint(
        seed=3,
        shift=6.0,
        transformer=dict(dim=48, n_layers=4, n_refiner_layers=1, n_heads=3, n_kv_heads=3, axes_dims=[4, 4, 8],
                         axes_lens=[1536, 512, 512], cap_feat_dim=36, norm_eps=1e-6, rope_theta=100.0,
                         t_scale=1000.0),
        text_encoder=dict(hidden_size=36, intermediate_size=100, num_hidden_layers=5, num_attention_heads=6,
                          num_key_value_heads=2, head_dim=12, rope_theta=1e4, rms_norm_eps=1e-5),
        vae=dict(block_out_channels=[12, 12, 18, 18], layers_per_block=1, norm_num_groups=6,
                 scaling_factor=0.5, shift_factor=-0.25),
        vocabulary=320,
        dtype=torch.float32,
        vae_gain=0.35,  # some values are clipped
    ),
}


def gain(name: str, vae_gain: float) -> float:
    """What the standard deviation of a weight is, times the root of its inputs, so that signals keep their size."""
    if "t_embedder" in name:
        return 1.5
    if "adaLN_modulation" in name:
        return 0.8
    if name == "decoder.conv_out.weight":
        return vae_gain
    if "conv" in name:
        return 1.2
    return 1.0


def coarse(shape: torch.Size, std: float, levels: int, generator: torch.Generator) -> torch.Tensor:
    """Random integers from -levels to levels times a scale of five significant bits."""
    scale = std / math.sqrt(levels * (levels + 1) / 3)
    unit = 2.0 ** (math.floor(math.log2(scale)) - 4)
    scale = round(scale / unit) * unit
    return torch.randint(-levels, levels + 1, shape, generator=generator).float() * scale


@torch.no_grad()
def fill(module: torch.nn.Module, checkpoint: Checkpoint) -> torch.nn.Module:
    """Give every parameter a random value that depends on its name and the checkpoint alone."""
    levels = checkpoint.levels
    for name, parameter in module.named_parameters():
        generator = torch.Generator().manual_seed(checkpoint.seed * 1_000_003 + zlib.crc32(name.encode()))
        if "pad_token" in name:
            value = coarse(parameter.shape, 1.0, levels, generator)
        elif "embed_tokens" in name:
            value = coarse(parameter.shape, 0.7, levels, generator)
        elif parameter.ndim >= 2:
            std = gain(name, checkpoint.vae_gain) / math.sqrt(parameter[0].numel())
            value = coarse(parameter.shape, std, levels, generator)
        elif name.endswith("bias"):
            value = coarse(parameter.shape, 0.4 if "adaLN" in name else 0.15, levels, generator)
        else:  # the weight of a norm
            value = 1.0 + torch.randint(-6, 7, parameter.shape, generator=generator).float() / 16
        parameter.copy_(value)
    return module.eval()


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint as a folder that diffusers' ZImagePipeline.from_pretrained reads."""
    tokenizer = small_tokenizer.save(folder / "tokenizer", checkpoint.vocabulary)

    transformer = fill(ZImageTransformer2DModel(in_channels=16, **checkpoint.transformer), checkpoint)
    transformer.to(checkpoint.dtype).save_pretrained(
        folder / "transformer", max_shard_size=checkpoint.transformer_shard
    )

    # Like Qwen's own, the embedding has a few more rows than the tokenizer has tokens.
    vocab_size = -(-(tokenizer.get_vocab_size() + 3) // 8) * 8
    settings = dict(checkpoint.text_encoder, vocab_size=vocab_size, max_position_embeddings=40960,
                    tie_word_embeddings=not checkpoint.causal_lm, use_cache=False,
                    bos_token_id=None, eos_token_id=tokenizer.token_to_id("<|im_end|>"))
    rope_theta = settings.pop("rope_theta")
    config = Qwen3Config(**settings, rope_parameters={"rope_type": "default", "rope_theta": rope_theta})
    kind = Qwen3ForCausalLM if checkpoint.causal_lm else Qwen3Model
    text_encoder = fill(kind(config), checkpoint).to(checkpoint.dtype)
    text_encoder.save_pretrained(folder / "text_encoder", max_shard_size=checkpoint.text_encoder_shard)
    (folder / "text_encoder" / "generation_config.json").unlink(missing_ok=True)
    if checkpoint.old_config:
        path = folder / "text_encoder" / "config.json"
        values = json.loads(path.read_text())
        values.pop("rope_parameters")
        values |= {"architectures": ["Qwen3ForCausalLM"], "rope_theta": rope_theta, "rope_scaling": None,
                   "torch_dtype": values.pop("dtype")}
        path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")

    blocks = len(checkpoint.vae["block_out_channels"])
    vae = AutoencoderKL(in_channels=3, out_channels=3, latent_channels=16, sample_size=1024, force_upcast=True,
                        down_block_types=["DownEncoderBlock2D"] * blocks, up_block_types=["UpDecoderBlock2D"] * blocks,
                        use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=True,
                        **checkpoint.vae)
    fill(vae, checkpoint).to(checkpoint.dtype).save_pretrained(folder / "vae")

    FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=checkpoint.shift, use_dynamic_shifting=False
    ).save_pretrained(folder / "scheduler")

    write_index(folder)


def write_index(folder: Path) -> None:
    """model_index.json, which names the parts."""
    index = {
        "_class_name": "ZImagePipeline",
        "_diffusers_version": "0.36.0.dev0",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "ZImageTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
