"""Show that no weight of the fixture could be wrong unseen: disturb each by 30 %, and see what that changes.

usage: sensitivity.py [FIXTURE]    prints, for each checkpoint, the weights that matter least, and those that do not

Latents and decoded pictures are compared after two steps, the VAE's encoder by its output, all relative.
"""

import sys
from pathlib import Path

import torch
from diffusers import ZImagePipeline
from diffusers.utils import logging
from safetensors.torch import load_file
from transformers.utils import logging as transformers_logging

FIXTURE = Path(__file__).resolve().parents[3] / "tests/fixtures/reference"


def outputs(pipe: ZImagePipeline, image: torch.Tensor) -> list[torch.Tensor]:
    """Latents, the decoded picture, and another picture encoded."""
    latents = pipe(
        "a red circle on a white background", width=80, height=64, num_inference_steps=2, guidance_scale=0.0,
        generator=torch.Generator().manual_seed(1), output_type="latent",
    ).images
    scaled = latents / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
    return [latents, pipe.vae.decode(scaled, return_dict=False)[0], pipe.vae.encode(image).latent_dist.mean]


def change(now: list[torch.Tensor], before: list[torch.Tensor]) -> float:
    """The largest relative change among the outputs, each without its mean."""
    return max(((a - b).norm() / (b - b.mean()).norm()).item() for a, b in zip(now, before))


@torch.no_grad()
def main() -> None:
    fixture = Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    picture = load_file(fixture / "encode.safetensors")["picture"]
    image = (picture.float() / 127.5 - 1).permute(2, 0, 1)[None]
    for folder in sorted(path.parent for path in fixture.glob("*/model_index.json")):
        pipe = ZImagePipeline.from_pretrained(folder, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        before = outputs(pipe, image)
        generator = torch.Generator().manual_seed(5)
        changes = []
        for component in ("text_encoder", "transformer", "vae"):
            for name, weight in getattr(pipe, component).named_parameters():
                kept = weight.clone()
                size = 0.3 * kept.std().clamp_min(0.05)
                weight += size * torch.randn(weight.shape, generator=generator)
                changes.append((change(outputs(pipe, image), before), f"{component}.{name}"))
                weight.copy_(kept)
        idle = [name for size, name in changes if size < 1e-5]
        least = sorted(item for item in changes if item[0] >= 1e-5)[:3]
        print(f"{folder.name}: {len(changes)} weights, {len(idle)} of them without effect:")
        print("  " + "\n  ".join(idle))
        print("  least effect: " + ", ".join(f"{name} {size:.1e}" for size, name in least), flush=True)


if __name__ == "__main__":
    main()
