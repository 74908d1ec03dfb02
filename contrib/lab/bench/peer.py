"""One variant of diffusers' ZImagePipeline: loads, then answers lines of JSON on standard input until it ends.

usage: peer.py plain|compiled|float8|model-offload|group-block|group-leaf CHECKPOINT [--device cuda:0] [--dtype bfloat16] [--threads N] [--once FILE …]

plain: as Z-Image-Turbo's model card has it: `from_pretrained(dtype=bfloat16)`, `.to("cuda")`, guidance 0.
compiled: besides, libtorch's cuDNN attention and `compile_repeated_blocks(fullgraph=True)`, for each size by itself.
float8: besides, torchao's row-wise dynamic float8 in the layers' linear maps, but those of the modulation.
model-offload: `enable_model_cpu_offload()`. group-block, group-leaf: group offload with a stream, of one block or leaf
at a time, the VAE resident.

Standard output carries nothing but answers; everything else that is said goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

BEGAN = time.perf_counter()
OFFLOADED = ["model-offload", "group-block", "group-leaf"]


def load(args: argparse.Namespace):
    """The pipeline, and seconds for the imports and for the weights."""
    import torch
    from diffusers import ZImagePipeline
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    imported = time.perf_counter()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if args.threads:
        torch.set_num_threads(args.threads)
    pipe = ZImagePipeline.from_pretrained(args.checkpoint, dtype=getattr(torch, args.dtype))
    if args.variant in OFFLOADED:
        offload(pipe, args.variant, torch.device(args.device))
    else:
        pipe.to(args.device)
    pipe.set_progress_bar_config(disable=True)
    synchronize(torch)
    loaded = time.perf_counter()
    if args.variant in ("compiled", "float8"):
        if args.device.startswith("cuda"):
            pipe.transformer.set_attention_backend("_native_cudnn")
        if args.variant == "float8":
            from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

            # The refiners are "…_refiner.N.", the blocks "layers.N.".
            quantize_(pipe.transformer, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
                      filter_fn=lambda module, name: isinstance(module, torch.nn.Linear) and "layers." in name
                      and "adaLN" not in name)
        # Each size gets code of its own, which is the fastest; blocks of three kinds need room for that.
        torch._dynamo.config.recompile_limit = 64
        pipe.transformer.compile_repeated_blocks(fullgraph=True, dynamic=False)
    return pipe, imported - BEGAN, loaded - imported


def offload(pipe, variant: str, device) -> None:
    """What keeps the weights in host memory."""
    import torch
    from diffusers.hooks import apply_group_offloading

    if variant == "model-offload":
        pipe.enable_model_cpu_offload(device=device)
        return
    how = {"onload_device": device, "offload_device": torch.device("cpu"), "use_stream": True}
    how |= {"offload_type": "leaf_level"} if variant == "group-leaf" else {
        "offload_type": "block_level", "num_blocks_per_group": 1}
    pipe.transformer.enable_group_offload(**how)
    apply_group_offloading(pipe.text_encoder, **how)
    pipe.vae.to(device)


def synchronize(torch) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Answers:
    """What can be asked of a loaded pipeline."""

    def __init__(self, pipe, device: str) -> None:
        import torch

        self.torch, self.pipe, self.device = torch, pipe, device

    def image(self, prompt: str, width: int, height: int, steps: int, seed: int):
        """A PIL image, as users get it."""
        generator = self.torch.Generator(self.device).manual_seed(seed)
        return self.pipe(prompt, width=width, height=height, num_inference_steps=steps, guidance_scale=0.0,
                         generator=generator).images[0]

    def draw(self, prompts: list[str], width: int, height: int, steps: int, seed: int) -> dict:
        times = []
        for number, prompt in enumerate(prompts):
            began = time.perf_counter()
            self.image(prompt, width, height, steps, seed + number)
            times.append((time.perf_counter() - began) * 1e3)
        return {"ms": times}

    def stages(self, prompt: str, width: int, height: int, count: int) -> dict:
        """Milliseconds of the text encoder with its tokenizer, and of the VAE to pixels on the host."""
        torch, pipe = self.torch, self.pipe
        latents = torch.randn(1, 16, height // 8, width // 8, device=self.device, dtype=pipe.vae.dtype)

        def text():
            return pipe.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=False)

        def decode():
            return pipe.image_processor.postprocess(pipe.vae.decode(latents, return_dict=False)[0], output_type="pil")

        with torch.no_grad():
            tokens = text()[0][0].shape[0]
            return {"tokens": tokens, "text": self.timed(text, count), "decode": self.timed(decode, count)}

    def compiled_decoder(self, width: int, height: int, count: int) -> dict:
        """The same of a VAE in channels_last whose decoder is compiled. Changes the pipeline: ask it last."""
        torch, vae = self.torch, self.pipe.vae.to(memory_format=self.torch.channels_last)
        vae.decoder = torch.compile(vae.decoder, dynamic=False)
        latents = torch.randn(1, 16, height // 8, width // 8, device=self.device, dtype=vae.dtype)
        latents = latents.to(memory_format=torch.channels_last)

        def decode():
            return self.pipe.image_processor.postprocess(vae.decode(latents, return_dict=False)[0], output_type="pil")

        with torch.no_grad():
            return {"decode": self.timed(decode, count)}

    def timed(self, work, count: int) -> list[float]:
        times = []
        for _ in range(count + 2):
            synchronize(self.torch)
            began = time.perf_counter()
            work()
            synchronize(self.torch)
            times.append((time.perf_counter() - began) * 1e3)
        return times[2:]

    def memory(self) -> dict:
        """GiB by torch's own count; none without a GPU."""
        if not self.torch.cuda.is_available():
            return {}
        cuda = self.torch.cuda
        return {"allocated": cuda.max_memory_allocated() / 2**30, "reserved": cuda.max_memory_reserved() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=["plain", "compiled", "float8", *OFFLOADED])
    parser.add_argument("checkpoint")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--once", nargs=4, metavar=("FILE", "PROMPT", "WxH", "STEPS"), help="draw one image and end")
    args = parser.parse_args()
    # Libraries that print must not disturb the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    pipe, import_s, load_s = load(args)
    ask = Answers(pipe, args.device)
    if args.once:
        file, prompt, size, steps = args.once
        width, height = map(int, size.split("x"))
        ask.image(prompt, width, height, int(steps), 1).save(file)
        return
    print(json.dumps({"import_s": import_s, "load_s": load_s}), file=answers)
    for line in sys.stdin:
        details = json.loads(line)
        try:
            said = getattr(ask, details.pop("do"))(**details)
        except Exception as error:  # Whatever a library raises is the answer; the driver goes on with other rows.
            said = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        print(json.dumps(said), file=answers)


if __name__ == "__main__":
    main()
