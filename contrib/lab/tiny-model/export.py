"""Writes and reads the diffusers folder: float16 weights, one folder a part."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from tokenizers import Tokenizer
from transformers import Qwen3Model

import parts
import wording

INDEX = {
    "_class_name": "ZImagePipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3Model"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "ZImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def write(folder: Path, tokenizer, encoder, transformer, vae, dtype=torch.float16):
    """The whole pipeline's folder. The networks are left in `dtype` on the CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        # the last layer is never used (features are taken before it): zeros, which pack well
        for name, parameter in encoder.layers[-1].named_parameters():
            if "norm" not in name:
                parameter.zero_()
    for name, part in (("text_encoder", encoder), ("transformer", transformer), ("vae", vae)):
        part.to("cpu", dtype).save_pretrained(folder / name, safe_serialization=True)
        config = folder / name / "config.json"
        settings = json.loads(config.read_text())
        settings.pop("_name_or_path", None)
        config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    parts.scheduler().save_pretrained(folder / "scheduler")
    wording.save(tokenizer, folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")


def read(folder: Path, device="cpu"):
    """(tokenizer, encoder, transformer, vae) in float32."""
    folder = Path(folder)
    settings = {"torch_dtype": torch.float32}
    encoder = Qwen3Model.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    transformer = ZImageTransformer2DModel.from_pretrained(folder / "transformer", **settings)
    vae = AutoencoderKL.from_pretrained(folder / "vae", **settings)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    return (tokenizer, *(part.to(device).eval().requires_grad_(False) for part in (encoder, transformer, vae)))
