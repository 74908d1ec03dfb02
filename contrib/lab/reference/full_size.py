"""Write a checkpoint of Z-Image-Turbo's own size, or a tiny one, with random weights in bfloat16: its pictures are noise.

usage: full_size.py OUT TOKENIZER [--tiny]   (TOKENIZER: a folder with tokenizer.json and tokenizer_config.json)
"""

import argparse
import math
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model

from small_checkpoints import write_index

TRANSFORMER = {"axes_lens": [1536, 512, 512]}
TEXT_ENCODER = dict(hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
                    num_key_value_heads=8, head_dim=128, vocab_size=151936, max_position_embeddings=40960,
                    rms_norm_eps=1e-6, tie_word_embeddings=True)
VAE = dict(block_out_channels=[128, 256, 512, 512], layers_per_block=2, norm_num_groups=32)

TINY_TRANSFORMER = dict(dim=128, n_layers=3, n_refiner_layers=1, n_heads=4, n_kv_heads=4, cap_feat_dim=96,
                        axes_dims=[8, 12, 12], axes_lens=[1536, 512, 512])
TINY_TEXT_ENCODER = TEXT_ENCODER | dict(hidden_size=96, intermediate_size=256, num_hidden_layers=4,
                                        num_attention_heads=4, num_key_value_heads=2, head_dim=32, vocab_size=1024)
TINY_VAE = dict(block_out_channels=[16, 16, 32, 32], layers_per_block=1, norm_num_groups=8)


@torch.no_grad()
def build(make, device: str) -> torch.nn.Module:
    """Make a model in bfloat16 on the device; weights keep the size of what passes, norms are 1."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = make()
    torch.set_default_dtype(torch.float32)
    for name, parameter in model.named_parameters():
        if "pad_token" in name or "embed_tokens" in name:
            parameter.normal_(0, 0.5)
        elif parameter.ndim >= 2:
            parameter.normal_(0, 1 / math.sqrt(parameter[0].numel()))
        elif name.endswith("bias"):
            parameter.normal_(0, 0.02)
        else:
            parameter.fill_(1)
    return model.eval()


def save(out: Path, tokenizer: Path, tiny: bool) -> None:
    """Write the folder."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    out.mkdir(parents=True)

    transformer = TINY_TRANSFORMER if tiny else TRANSFORMER
    build(lambda: ZImageTransformer2DModel(**transformer), device).save_pretrained(
        out / "transformer", max_shard_size="5GB"
    )
    text_encoder = Qwen3Config(
        **(TINY_TEXT_ENCODER if tiny else TEXT_ENCODER), rope_parameters={"rope_type": "default", "rope_theta": 1e6}
    )
    build(lambda: Qwen3Model(text_encoder), device).save_pretrained(out / "text_encoder", max_shard_size="4GB")
    vae = TINY_VAE if tiny else VAE
    build(
        lambda: AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=16, sample_size=1024, force_upcast=True,
            scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, **vae,
        ),
        device,
    ).save_pretrained(out / "vae")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(out / "scheduler")
    shutil.copytree(tokenizer, out / "tokenizer")
    write_index(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    save(args.out, args.tokenizer, args.tiny)
