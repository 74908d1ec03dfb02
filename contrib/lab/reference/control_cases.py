"""Make the parity fixture of ControlNets: what diffusers draws with them, with and without a mask.

usage: control_cases.py OUT       (OUT has the checkpoints of make_fixture.py, which runs this too)

OUT/controls.json                 the nets and the cases
OUT/nets/NAME.safetensors         a ControlNet as alibaba-pai publishes it; OUT/nets/NAME/ as diffusers saves it
OUT/controls/NAME.safetensors, all float32 unless said:
  control [H, W, 3] uint8         the control image
  initial [H, W, 3] uint8, mask [H, W] uint8    what is to be filled; only in some cases
  context [1, c, h, w]            the control latents, with a 2.x net the mask and the masked image's beside
  after [n, 16, h, w]             the latents after the first step
  latents [n, 16, h, w], picture [n, H, W, 3] uint8
"""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy
import torch
from diffusers import (
    ZImageControlNetInpaintPipeline,
    ZImageControlNetModel,
    ZImageControlNetPipeline,
    ZImagePipeline,
)
from PIL import Image
from safetensors.torch import load_file, save_file

import small_checkpoints
from image_cases import CIRCLE, UGLY, mask_of, picture


@dataclass
class Net:
    """A ControlNet for a checkpoint; the structure is that of diffusers' configuration."""

    name: str
    checkpoint: str
    places: list[int]
    in_dim: int
    refiner: str | None
    refiner_places: list[int] = field(default_factory=list)
    # As diffusers saves it, instead of one file.
    folder: bool = False
    # Tensors that no one reads and the published file of 2.0 has: refiners whose first projection is zero.
    zeros: bool = False


NETS = [
    # Union, the first: plain refiners, every second layer.
    Net("union-1", "odd", [0, 2], 16, None),
    Net("union-1-all", "plain", [0, 1, 2], 16, None),
    Net("union-2.0", "odd", [0, 2], 33, "control_layers", [0], zeros=True),
    Net("union-2.1", "plain", [0, 1, 2], 33, "control_noise_refiner", [0, 1]),
    Net("lite", "plain", [0], 33, "control_noise_refiner", [0, 1]),
    Net("folder", "odd", [0, 3], 33, "control_noise_refiner", [0], folder=True),
]


@dataclass
class ControlCase:
    """One call of a pipeline. `mask` names a function of image_cases.py."""

    name: str
    net: str
    width: int
    height: int
    scale: float = 0.75
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
    ControlCase("first", "union-1", 64, 64, steps=8),
    ControlCase("first-wide", "union-1-all", 160, 64, 1.0, seed=3),
    ControlCase("first-strong", "union-1-all", 64, 96, 1.6, steps=1),
    ControlCase("first-guided", "union-1", 80, 64, 0.5, guidance=4.0, negative=UGLY, normalization=0.9),
    ControlCase("twice", "union-2.0", 64, 64),
    ControlCase("twice-tall", "union-2.0", 64, 144, 0.9, steps=3, seed=8),
    ControlCase("twice-mask", "union-2.0", 80, 80, 0.75, "grey", seed=2**33),
    ControlCase("own", "union-2.1", 64, 64, steps=8),
    ControlCase("own-wide", "union-2.1", 128, 96, 0.65, seed=1),
    ControlCase("own-two", "union-2.1", 64, 80, 0.85, count=2, seed=11),
    ControlCase("own-guided", "union-2.1", 96, 64, 0.75, guidance=3.0, negative=UGLY, truncation=0.5, steps=8),
    ControlCase("own-mask", "union-2.1", 96, 64, 0.75, "left"),
    ControlCase("own-mask-thin", "union-2.1", 64, 112, 1.2, "thin", seed=5),
    ControlCase("few", "lite", 80, 64),
    ControlCase("folder", "folder", 64, 64, 0.8),
    ControlCase("folder-mask", "folder", 64, 80, 0.8, "left", guidance=2.0, negative=UGLY),
    ControlCase("nothing", "union-2.1", 64, 64, 0.0),
]


def control_picture(width: int, height: int) -> numpy.ndarray:
    """White lines on black: [height, width, 3]."""
    y, x = numpy.mgrid[0:height, 0:width]
    ring = abs((x - 34) ** 2 + (y - 30) ** 2 - 500) < 60
    line = abs(x - 2 * y + 20) < 3
    return numpy.repeat(numpy.where(ring | line, 255, 0)[..., None], 3, -1).astype(numpy.uint8)


def make_net(out: Path, net: Net) -> ZImageControlNetModel:
    """A net with random weights, which is on the disk, too."""
    checkpoint = small_checkpoints.CHECKPOINTS[net.checkpoint]
    of = checkpoint.transformer
    model = ZImageControlNetModel(
        control_layers_places=net.places,
        control_refiner_layers_places=net.refiner_places,
        control_in_dim=net.in_dim,
        add_control_noise_refiner=net.refiner,
        **{key: of[key] for key in ("dim", "n_refiner_layers", "n_heads", "n_kv_heads", "norm_eps")},
    )
    small_checkpoints.fill(model, checkpoint).to(torch.bfloat16)
    if net.folder:
        model.save_pretrained(out / "nets" / net.name)
    else:
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        if net.zeros:
            width = of["dim"]
            for part in ("before_proj", "after_proj"):
                tensors[f"control_noise_refiner.0.{part}.weight"] = torch.zeros(width, width, dtype=torch.bfloat16)
                tensors[f"control_noise_refiner.0.{part}.bias"] = torch.zeros(width, dtype=torch.bfloat16)
        save_file(tensors, out / "nets" / f"{net.name}.safetensors")
        assert all(torch.isfinite(tensor).all() for tensor in load_file(out / "nets" / f"{net.name}.safetensors").values())
    return model.float()


def draw(pipe, case: ControlCase) -> dict[str, torch.Tensor]:
    """Run the pipeline for one case, and look at what passes."""
    control = control_picture(case.width, case.height)
    out, given, seen = {"control": torch.from_numpy(control)}, {}, {}
    if case.mask:
        initial, mask = picture(case.width, case.height), mask_of(case.mask, case.width, case.height)
        out |= {"initial": torch.from_numpy(initial), "mask": torch.from_numpy(mask)}
        given = {"image": Image.fromarray(initial, "RGB"), "mask_image": Image.fromarray(mask, "L")}
    forward = pipe.controlnet.forward

    def look(x, t, cap_feats, control_context, **values):
        seen.setdefault("context", control_context[0].squeeze(1).unsqueeze(0).clone())
        return forward(x, t, cap_feats, control_context, **values)

    def after(_pipe, _step, _timestep, values):
        seen.setdefault("after", values["latents"].clone())
        return values

    pipe.controlnet.forward = look
    latents = pipe(
        case.prompt,
        height=case.height,
        width=case.width,
        control_image=Image.fromarray(control, "RGB"),
        controlnet_conditioning_scale=case.scale,
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
    pipe.controlnet.forward = forward
    scaled = latents / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
    pictures = pipe.image_processor.postprocess(pipe.vae.decode(scaled, return_dict=False)[0], output_type="pil")
    drawn = torch.from_numpy(numpy.stack([numpy.array(one) for one in pictures]))
    return out | seen | {"latents": latents, "picture": drawn}


@torch.no_grad()
def make(out: Path) -> None:
    """Write the fixture beside the checkpoints."""
    (out / "controls").mkdir(exist_ok=True)
    (out / "nets").mkdir(exist_ok=True)
    parts = {}
    for net in NETS:
        if net.checkpoint not in parts:
            parts[net.checkpoint] = ZImagePipeline.from_pretrained(out / net.checkpoint, dtype=torch.float32).components
    nets = {net.name: (net, make_net(out, net)) for net in NETS}
    plain = {}
    for case in CASES:
        net, model = nets[case.net]
        kind = ZImageControlNetInpaintPipeline if case.mask else ZImageControlNetPipeline
        pipe = kind(**parts[net.checkpoint], controlnet=model)
        pipe.set_progress_bar_config(disable=True)
        tensors = draw(pipe, case)
        save_file({k: v.contiguous() for k, v in tensors.items()}, out / "controls" / f"{case.name}.safetensors")
        # How much the net changes: a case that it does not change shows nothing.
        key = (net.checkpoint, case.width, case.height, case.steps, case.seed, case.guidance)
        if key not in plain:
            pipe = ZImagePipeline(**parts[net.checkpoint])
            pipe.set_progress_bar_config(disable=True)
            plain[key] = pipe(
                case.prompt, height=case.height, width=case.width, num_inference_steps=case.steps,
                guidance_scale=case.guidance, cfg_normalization=case.normalization, cfg_truncation=case.truncation,
                negative_prompt=case.negative, generator=torch.Generator("cpu").manual_seed(case.seed),
                output_type="latent",
            ).images
        changed = (tensors["latents"][:1] - plain[key]).norm() / plain[key].norm()
        drawn = tensors["picture"].float()
        print(
            f"{case.name:18} changed {changed:.3f} picture mean {drawn.mean():6.1f} std {drawn.std():5.1f}", flush=True
        )
    manifest = {"nets": [asdict(net) for net in NETS], "cases": [asdict(case) for case in CASES]}
    (out / "controls.json").write_text(json.dumps(manifest) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    make(Path(sys.argv[1]))
