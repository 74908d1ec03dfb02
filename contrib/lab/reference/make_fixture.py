"""Make the parity fixture: small checkpoints, and what diffusers draws with them in float32 on the CPU.

usage: make_fixture.py OUT        (OUT must not exist; the versions are those of requirements.txt)

OUT/manifest.json     versions, checkpoints, cases
OUT/CHECKPOINT/       a diffusers folder
OUT/encode.safetensors and OUT/cases/NAME.safetensors, all float32 unless said:
  ids [L] int64, features [L, C]           the caption's tokens, and its features (hidden_states[-2])
  negative_ids, negative_features          the same of the negative prompt, with guidance
  sigmas [steps + 1], noise [n, 16, h, w]  the schedule, and the latents before the first step
  output0 [n or 2n, 16, h, w]              what the transformer returned at the first step (with guidance n more, of the
                                           negative prompt); the velocity is its negative
  latents [n, 16, h, w], picture [n, H, W, 3] uint8
OUT/images.json and OUT/images/            the same with an initial image: see image_cases.py
"""

import argparse
import importlib.metadata
import json
from pathlib import Path

import numpy
import torch
from diffusers import ZImagePipeline
from diffusers.utils import logging
from safetensors.torch import save_file
from transformers.utils import logging as transformers_logging

import cases
import control_cases
import image_cases
import small_checkpoints

PACKAGES = ["torch", "diffusers", "transformers", "tokenizers", "safetensors", "numpy", "pillow", "Jinja2"]


def chat(tokenizer, prompt: str) -> str:
    """The text that ZImagePipeline gives to the tokenizer for a prompt."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=True)


def draw(pipe: ZImagePipeline, case: cases.Case) -> dict[str, torch.Tensor]:
    """Run the pipeline for one case, and look at what passes."""
    seen: list[torch.Tensor] = []

    def look(_module, _args, output):
        if not seen:
            seen.append(torch.stack([item.squeeze(1) for item in output[0]]))

    hook = pipe.transformer.register_forward_hook(look)
    latents = pipe(
        case.prompt,
        width=case.width,
        height=case.height,
        num_inference_steps=case.steps,
        guidance_scale=case.guidance,
        cfg_normalization=case.normalization,
        cfg_truncation=case.truncation,
        negative_prompt=case.negative,
        num_images_per_prompt=case.count,
        generator=[torch.Generator("cpu").manual_seed(case.seed + i) for i in range(case.count)],
        output_type="latent",
    ).images
    hook.remove()

    def encode(text: str) -> tuple[torch.Tensor, torch.Tensor]:
        ids = pipe.tokenizer(chat(pipe.tokenizer, text)).input_ids
        features = pipe.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)[0][0]
        assert len(ids) == len(features), "the reference cut the prompt"
        return torch.tensor(ids), features

    out = {"latents": latents, "output0": seen[0], "sigmas": pipe.scheduler.sigmas}
    out["ids"], out["features"] = encode(case.prompt)
    if case.guidance > 0:
        out["negative_ids"], out["negative_features"] = encode(case.negative or "")
    shape = (1, *latents.shape[1:])
    out["noise"] = torch.cat(
        [torch.randn(shape, generator=torch.Generator("cpu").manual_seed(case.seed + i)) for i in range(case.count)]
    )
    out["picture"] = decode(pipe, latents)
    return out


def decode(pipe: ZImagePipeline, latents: torch.Tensor) -> torch.Tensor:
    """The end of ZImagePipeline.__call__: latents to pictures [n, H, W, 3] uint8."""
    scaled = latents / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
    image = pipe.vae.decode(scaled, return_dict=False)[0]
    pictures = pipe.image_processor.postprocess(image, output_type="pil")
    return torch.from_numpy(numpy.stack([numpy.array(picture) for picture in pictures]))


def encode(pipes: dict[str, ZImagePipeline]) -> dict[str, torch.Tensor]:
    """A picture of 96 x 64 and, for each checkpoint, its latents: the mean of the posterior, shifted and scaled."""
    y, x = numpy.mgrid[0:64, 0:96]
    disc = (x - 40) ** 2 + (y - 30) ** 2 < 400
    picture = numpy.stack([numpy.where(disc, 220, x * 2), numpy.where(disc, 30, y * 3), (x * y) % 256], -1)
    picture = torch.from_numpy(picture.astype(numpy.uint8))
    image = (picture.float() / 127.5 - 1).permute(2, 0, 1)[None]
    out = {"picture": picture}
    for name, pipe in pipes.items():
        mean = pipe.vae.encode(image).latent_dist.mean
        out[f"latents.{name}"] = (mean - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    return out


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True)
    (out / "cases").mkdir()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    pipes = {}
    for name, checkpoint in small_checkpoints.CHECKPOINTS.items():
        small_checkpoints.save(out / name, checkpoint)
        pipes[name] = ZImagePipeline.from_pretrained(out / name, dtype=torch.float32)
        pipes[name].set_progress_bar_config(disable=True)

    def count(name: str, text: str) -> int:
        return len(pipes[name].tokenizer(text).input_ids)

    def template(name: str) -> int:
        return count(name, chat(pipes[name].tokenizer, ""))

    records = []
    for case in cases.cases(count, template):
        tensors = draw(pipes[case.checkpoint], case)
        save_file({k: v.contiguous() for k, v in tensors.items()}, out / "cases" / f"{case.name}.safetensors")
        records.append(
            case.record()
            | {
                "prompt_tokens": count(case.checkpoint, case.prompt),
                "caption_tokens": len(tensors["ids"]),
                "image_tokens": case.width * case.height // 256,
                "shift": small_checkpoints.CHECKPOINTS[case.checkpoint].shift,
                "expected": f"cases/{case.name}.safetensors",
            }
        )
        latents, picture = tensors["latents"], tensors["picture"].float()
        ends = ((picture == 0) | (picture == 255)).float().mean()
        print(
            f"{case.name:18} caption {len(tensors['ids']):4}  latents std {latents.std():.3f}"
            f"  picture mean {picture.mean():6.1f} std {picture.std():5.1f} clipped {ends:.3f}",
            flush=True,
        )
    save_file({k: v.contiguous() for k, v in encode(pipes).items()}, out / "encode.safetensors")
    manifest = {
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "checkpoints": list(pipes),
        "encode": "encode.safetensors",
        "cases": records,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    image_cases.make(out)
    control_cases.make(out)


if __name__ == "__main__":
    main()
