"""Make the parity fixture of image inputs: what diffusers draws from an initial image, with and without a mask.

usage: image_cases.py OUT         (OUT has the checkpoints of make_fixture.py, which runs this too)

OUT/images.json                   the cases, and the first step for many steps and strengths
OUT/images/NAME.safetensors, all float32 unless said:
  initial [H, W, 3] uint8, mask [H, W] uint8    what the request brings; the mask only in some cases
  start [n, 16, h, w]                           the latents before the first step
  after [n, 16, h, w]                           the latents after the first step that is computed
  latents [n, 16, h, w], picture [n, H, W, 3] uint8
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline
from PIL import Image
from safetensors.torch import save_file

import small_checkpoints

CIRCLE = "a red circle on a white background"
UGLY = "blurry, low quality"


@dataclass
class ImageCase:
    """One call of a pipeline. `strength` None leaves it to the pipeline; `mask` names a function of this file."""

    name: str
    checkpoint: str
    width: int
    height: int
    strength: float | None = None
    mask: str | None = None
    steps: int = 4
    seed: int = 42
    count: int = 1
    guidance: float = 0.0
    negative: str | None = None
    normalization: float = 0.0
    truncation: float = 1.0
    prompt: str = CIRCLE


CASES = [
    ImageCase("default", "plain", 64, 64, steps=8),
    ImageCase("wide", "plain", 96, 64, 0.5, steps=8, seed=1),
    ImageCase("tall", "odd", 64, 112, 0.3, steps=10, seed=2**40 + 5),
    ImageCase("whole", "broad", 80, 80, 1.0),
    ImageCase("faint", "broad", 64, 64, 0.01, steps=8),
    ImageCase("two", "odd", 80, 64, 0.75, count=2, seed=100),
    ImageCase("guided", "plain", 64, 80, 0.6, steps=8, guidance=4.0, negative=UGLY, normalization=0.9, truncation=0.5),
    ImageCase("mask-default", "plain", 64, 64, None, "left"),
    ImageCase("mask-grey", "odd", 96, 80, 0.8, "grey", steps=5, seed=3),
    ImageCase("mask-thin", "broad", 112, 64, 0.5, "thin", steps=8, seed=11),
    ImageCase("mask-one-step", "odd", 64, 64, 0.2, "left", steps=4, seed=0),
    ImageCase("mask-black", "plain", 64, 64, 0.7, "black"),
    ImageCase("mask-white", "plain", 64, 64, 0.7, "white"),
    ImageCase("mask-two", "plain", 80, 64, 1.0, "grey", count=2, seed=7),
    ImageCase("mask-guided", "broad", 64, 96, 0.9, "thin", guidance=3.0, negative=UGLY, seed=5),
]


def picture(width: int, height: int) -> numpy.ndarray:
    """A disc on a gradient: [height, width, 3]."""
    y, x = numpy.mgrid[0:height, 0:width]
    disc = (x - 40) ** 2 + (y - 30) ** 2 < 400
    channels = [numpy.where(disc, 220, x * 2), numpy.where(disc, 30, y * 2), (x * y) % 256]
    return numpy.stack(channels, -1).astype(numpy.uint8)


def mask_of(name: str, width: int, height: int) -> numpy.ndarray:
    """White may change: [height, width]."""
    y, x = numpy.mgrid[0:height, 0:width]
    return {
        "left": numpy.where(x < width // 2, 255, 0),
        # Greys about the threshold, which is between 127 and 128, at every eighth pixel; all greys between them.
        "grey": numpy.where((x % 8 == 0) & (y % 8 == 0), 120 + (x // 8 + y // 8) % 16, (x * 3 + y * 5) % 256),
        # Lines that are thinner than a latent: some are seen, and some are not.
        "thin": numpy.where((x % 12 < 2) | (y % 20 < 1), 255, 0),
        "black": x * 0,
        "white": x * 0 + 255,
    }[name].astype(numpy.uint8)


def draw(pipes: dict, case: ImageCase) -> dict[str, torch.Tensor]:
    """Run the pipeline for one case, and look at what passes."""
    pipe = pipes["mask" if case.mask else "image"]
    seen = {}
    prepare, initial = pipe.prepare_latents, picture(case.width, case.height)
    out = {"initial": torch.from_numpy(initial)}

    def prepare_latents(*args):
        prepared = prepare(*args)
        seen["start"] = (prepared[0] if case.mask else prepared).clone()
        return prepared

    def after(_pipe, _step, _timestep, values):
        seen.setdefault("after", values["latents"].clone())
        return values

    pipe.prepare_latents = prepare_latents
    given = {}
    if case.strength is not None:
        given["strength"] = case.strength
    if case.mask:
        mask = mask_of(case.mask, case.width, case.height)
        out["mask"] = torch.from_numpy(mask)
        given["mask_image"] = Image.fromarray(mask, "L")
    latents = pipe(
        case.prompt,
        # As many images as there are generators: with one alone, the posterior of all is sampled with the first
        # generator, and no image of a list is that of its own seed.
        image=[Image.fromarray(initial, "RGB")] * case.count,
        num_inference_steps=case.steps,
        guidance_scale=case.guidance,
        cfg_normalization=case.normalization,
        cfg_truncation=case.truncation,
        negative_prompt=case.negative,
        num_images_per_prompt=case.count,
        generator=[torch.Generator("cpu").manual_seed(case.seed + i) for i in range(case.count)],
        output_type="latent",
        callback_on_step_end=after,
        **given,
    ).images
    del pipe.prepare_latents
    scaled = latents / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
    pictures = pipe.image_processor.postprocess(pipe.vae.decode(scaled, return_dict=False)[0], output_type="pil")
    drawn = torch.from_numpy(numpy.stack([numpy.array(one) for one in pictures]))
    return out | seen | {"latents": latents, "picture": drawn}


def first_steps(pipe: ZImageImg2ImgPipeline) -> list[dict]:
    """The first step that is computed, for strengths of 0.01 to 1."""
    out = []
    for steps in (1, 2, 3, 4, 7, 8, 9, 10, 28, 50, 100):
        pipe.scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / steps, steps).tolist())
        first = [steps - pipe.get_timesteps(steps, percent / 100, "cpu")[1] for percent in range(1, 101)]
        out.append({"steps": steps, "first": first})
    return out


@torch.no_grad()
def make(out: Path) -> None:
    """Write the fixture beside the checkpoints."""
    (out / "images").mkdir(exist_ok=True)
    pipes = {}
    for name in small_checkpoints.CHECKPOINTS:
        parts = ZImagePipeline.from_pretrained(out / name, dtype=torch.float32).components
        pipes[name] = {"image": ZImageImg2ImgPipeline(**parts), "mask": ZImageInpaintPipeline(**parts)}
        for pipe in pipes[name].values():
            pipe.set_progress_bar_config(disable=True)
            assert isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler)
    for case in CASES:
        tensors = draw(pipes[case.checkpoint], case)
        save_file({k: v.contiguous() for k, v in tensors.items()}, out / "images" / f"{case.name}.safetensors")
        drawn = tensors["picture"].float()
        print(f"{case.name:18} picture mean {drawn.mean():6.1f} std {drawn.std():5.1f}", flush=True)
    manifest = {"first_steps": first_steps(pipes["plain"]["image"]), "cases": [asdict(case) for case in CASES]}
    (out / "images.json").write_text(json.dumps(manifest) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    make(Path(sys.argv[1]))
