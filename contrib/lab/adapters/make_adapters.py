"""Write tests/fixtures/adapters: small adapters in every spelling, and the latents of the reference with them.

peft and LyCORIS make the adapters; their numbers are coarse, so that files are small in git. Where diffusers reads a
file, the reference is `load_lora_weights` and `set_adapters` on that file. Where it does not (LoKr with its factors,
LoHa, DoRA, some spellings), the weights of the reference are what peft or LyCORIS merge.

usage: make_adapters.py CHECKPOINT OUT, CHECKPOINT as tests/fixtures/reference/plain
"""

import copy
import json
import math
import sys
from pathlib import Path

import peft
import torch
from diffusers import ZImagePipeline
from diffusers.utils import logging
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers.utils import logging as transformers_logging

State = dict[str, torch.Tensor]
PROMPT, SIZE, STEPS, SEED = "a red fox in the snow", (96, 64), 4, 7
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
FEED_FORWARD = ["w1", "w2", "w3"]


def coarse(generator: torch.Generator, shape: torch.Size, size: float) -> torch.Tensor:
    """Numbers of three levels a sign."""
    return torch.randint(-3, 4, shape, generator=generator).float() * (size / 2)


def pipeline(checkpoint: Path) -> ZImagePipeline:
    pipe = ZImagePipeline.from_pretrained(checkpoint, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def latents(pipe: ZImagePipeline) -> torch.Tensor:
    return pipe(
        PROMPT,
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="latent",
    ).images


def fill(model: torch.nn.Module, seed: int) -> None:
    """Coarse numbers for all of an adapter's parameters; magnitudes stay near what they are."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if not any(part in name for part in ("lora_", "hada_", "lokr_", "dora_scale")):
            continue
        if "magnitude" in name or "dora_scale" in name:
            factor = 1 + coarse(generator, parameter.shape, 0.0625)
            parameter.data = (parameter.data * factor * 64).round() / 64
        else:
            # A product of two or four of them is a fraction of the weights.
            size = {"hada": 0.25, "lokr": 0.125}.get(name.rsplit(".", 3)[-1][:4], 0.125)
            size = 0.25 if "hada_" in name else size
            parameter.data = coarse(generator, parameter.shape, size)


def adapted(model: torch.nn.Module, config: peft.PeftConfig, seed: int) -> tuple[peft.PeftModel, State]:
    """The model with an adapter of peft's, and the adapter's tensors by peft's names without a prefix."""
    model = peft.get_peft_model(copy.deepcopy(model), config)
    fill(model, seed)
    state = get_peft_model_state_dict(model)
    return model, {k.removeprefix("base_model.model."): v.clone().contiguous() for k, v in state.items()}


def lora(**more) -> peft.LoraConfig:
    more.setdefault("target_modules", ATTENTION + FEED_FORWARD)
    return peft.LoraConfig(**more)


def kohya(state: State, begin: str, alpha: float | None) -> State:
    """kohya's names: lora_down, lora_up, alpha, underscores."""
    out: State = {}
    for key, tensor in state.items():
        module, part = key.split(".lora_")
        name = begin + module.replace(".", "_")
        out[f"{name}.{'lora_down' if part.startswith('A') else 'lora_up'}.weight"] = tensor
        if alpha is not None:
            out[f"{name}.alpha"] = torch.tensor(alpha)
    return out


def fused(state: State, shared: bool) -> tuple[State, State]:
    """Queries, keys and values in one product of the original names; and the same apart."""
    out, apart = dict(state), dict(state)
    for key in list(state):
        if not key.endswith("to_q.lora_A.weight"):
            continue
        block = key.removesuffix("to_q.lora_A.weight")
        downs = [state[f"{block}to_{x}.lora_A.weight"] for x in "qkv"]
        ups = [state[f"{block}to_{x}.lora_B.weight"] for x in "qkv"]
        for x in "qkv":
            for part in "AB":
                del out[f"{block}to_{x}.lora_{part}.weight"]
            if shared:
                apart[f"{block}to_{x}.lora_A.weight"] = downs[0]
        out[f"{block}qkv.lora_A.weight"] = downs[0] if shared else torch.cat(downs)
        out[f"{block}qkv.lora_B.weight"] = torch.cat(ups)
        for part in "AB":
            out[f"{block}out.lora_{part}.weight"] = out.pop(f"{block}to_out.0.lora_{part}.weight")
    return out, apart


def dots(state: State) -> State:
    """Dots for underscores, and what is there apart once more fused, and `out` beside `to_out.0`."""
    out: State = {}
    for key, tensor in state.items():
        module, part = key.split(".lora_")
        end = ".lora.down.weight" if part.startswith("A") else ".lora.up.weight"
        for x in "qkv":
            module = module.replace(f".to_{x}", f".to.{x}")
        out[module + end] = tensor
        if module.endswith("to_out.0"):
            out[module.removesuffix("to_out.0") + "out" + end] = tensor.clone()
        if module.endswith("to.q") and part.startswith("A"):
            block = module.removesuffix("to.q")
            ups = [state[f"{block}to_{x}.lora_B.weight"] for x in "qkv"]
            out[f"{block}qkv.lora.down.weight"] = tensor.clone()
            out[f"{block}qkv.lora.up.weight"] = torch.cat(ups)
    return out


def lycoris(model: torch.nn.Module, make, seed: int) -> tuple[State, torch.nn.Module]:
    """An adapter of LyCORIS' on the main layers' maps, in its names; and the model with merged weights."""
    model, state, merged = copy.deepcopy(model), {}, {}
    for name, module in list(model.named_modules()):
        if not name.startswith("layers.") or not isinstance(module, torch.nn.Linear) or "adaLN" in name:
            continue
        own = make("lycoris_" + name.replace(".", "_"), module)
        fill(own, seed := seed + 1)
        for part, tensor in own.custom_state_dict().items() if hasattr(own, "custom_state_dict") else []:
            state[f"{own.lora_name}.{part}"] = tensor.detach().clone().float().contiguous()
        # What the module computes: LyCORIS 4.1.3's `get_merged_weight` has alpha / rank twice for LoHa and LoKr.
        merged[name] = own.eval()(torch.eye(module.in_features)).T.detach()
    for name, weight in merged.items():
        model.get_submodule(name).weight.data = weight.contiguous()
    return state, model


def main() -> None:
    checkpoint, out = Path(sys.argv[1]), Path(sys.argv[2])
    for log in (logging, transformers_logging):
        log.set_verbosity_error()
        log.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    out.mkdir(parents=True, exist_ok=True)
    plain = pipeline(checkpoint)
    base = plain.transformer
    found: State = {"none": latents(plain)}
    cases = [{"name": "none", "lora": ""}]

    def save(name: str, state: State, metadata: dict[str, str] | None = None) -> None:
        path = out / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.clone().contiguous() for k, v in state.items()}, path, metadata)

    def case(name: str, wanted: str, result: torch.Tensor) -> None:
        found[name] = result
        cases.append({"name": name, "lora": wanted})
        off = (result - found["none"]).norm() / found["none"].norm()
        print(f"{name:28} {off:.3f} from none", flush=True)

    def by_diffusers(name: str, loras: list[tuple[str, State | None, float]]) -> None:
        """What diffusers does with the files, or with a state that it can read in place of one."""
        pipe = pipeline(checkpoint)
        for lora_name, state, _ in loras:
            source = out / f"{lora_name}.safetensors" if state is None else state
            pipe.load_lora_weights(source, adapter_name=lora_name.replace("/", "_").replace("-", "_"))
        names = [lora_name.replace("/", "_").replace("-", "_") for lora_name, _, _ in loras]
        pipe.set_adapters(names, [weight for _, _, weight in loras])
        wanted = ",".join(f"{lora_name}:{weight:g}" for lora_name, _, weight in loras)
        case(name, wanted, latents(pipe))

    def by_model(name: str, wanted: str, model: torch.nn.Module) -> None:
        pipe = pipeline(checkpoint)
        pipe.transformer = model
        case(name, wanted, latents(pipe))

    def prefixed(state: State, begin: str) -> State:
        return {begin + k: v for k, v in state.items()}

    # Written by diffusers with peft's configuration in the metadata.
    config = lora(r=4, lora_alpha=8, rank_pattern={"w1": 2}, alpha_pattern={"w1": 3})
    model, state = adapted(base, config, 1)
    pipe = pipeline(checkpoint)
    settings = {k: v for k, v in config.to_dict().items() if isinstance(v, int | float | str | dict | bool)}
    settings["target_modules"] = sorted(config.target_modules)
    pipe.save_lora_weights(
        out, transformer_lora_layers=state, weight_name="diffusers.safetensors",
        transformer_lora_adapter_metadata=settings,
    )
    by_diffusers("diffusers", [("diffusers", None, 1.0)])
    by_diffusers("diffusers-weight", [("diffusers", None, -0.625)])

    _, toolkit = adapted(base, lora(r=3, lora_alpha=3), 2)
    save("ai-toolkit", prefixed(toolkit, "diffusion_model."))
    by_diffusers("ai-toolkit", [("ai-toolkit", None, 1.0)])

    _, state = adapted(base, lora(r=4, lora_alpha=4), 3)
    save("kohya", kohya(state, "lora_unet_", 2.0))
    by_diffusers("kohya", [("kohya", None, 1.0)])
    _, state = adapted(base, lora(r=2, lora_alpha=2, target_modules=ATTENTION), 4)
    save("musubi", kohya(state, "lora_unet__", 1.0))
    by_diffusers("musubi", [("musubi", kohya(state, "lora_unet_", 1.0), 1.0)])

    for name, shared in [("fused-shared", True), ("fused-apart", False)]:
        _, state = adapted(base, lora(r=2, lora_alpha=2, target_modules=ATTENTION), 5)
        together, apart = fused(state, shared)
        save(name, prefixed(together, "model.diffusion_model."))
        by_diffusers(name, [(name, prefixed(apart, "transformer."), 1.0)])

    _, state = adapted(base, lora(r=2, lora_alpha=2), 6)
    save("dots", prefixed(dots(state), "diffusion_model."))
    by_diffusers("dots", [("dots", None, 1.0)])

    _, state = adapted(base, lora(r=2, lora_alpha=2, target_modules=FEED_FORWARD), 7)
    save("infix", {k.replace(".weight", ".default.weight"): v for k, v in prefixed(state, "base_model.model.").items()})
    by_diffusers("infix", [("infix", prefixed(state, "transformer."), 1.0)])

    # Everything around the blocks: modulation, time, embedders, the final layer.
    around = (r"((layers|noise_refiner)\.\d\.adaLN_modulation\.0|all_final_layer.*(linear|modulation\.1)"
              r"|t_embedder\.mlp\.[02]|all_x_embedder\.2-1|cap_embedder\.1)")
    _, state = adapted(base, lora(r=2, lora_alpha=4, target_modules=around), 8)
    save("modulation", prefixed(state, "transformer.") | {
        f"transformer.{k.removesuffix('.lora_A.weight')}.alpha": torch.tensor(4.0) for k in state if "lora_A" in k
    })
    by_diffusers("modulation", [("modulation", prefixed({k: v * (2 if "lora_B" in k else 1) for k, v in state.items()},
                                                         "transformer."), 1.0)])

    # Several at once.
    by_diffusers("two", [("diffusers", None, 0.5), ("kohya", None, 0.75)])
    by_diffusers("three", [("ai-toolkit", None, 0.5), ("kohya", None, -0.5), ("dots", None, 1.25)])

    # peft's folder, with its configuration beside the weights.
    for name, config in [
        ("peft-rslora", lora(r=4, lora_alpha=2, use_rslora=True)),
        ("peft-dora", lora(r=2, lora_alpha=2, use_dora=True, target_modules=ATTENTION)),
        ("peft-bias", lora(r=2, lora_alpha=2, lora_bias=True, target_modules=["to_out.0", "w2"])),
        ("peft-loha", peft.LoHaConfig(r=3, alpha=2, target_modules=ATTENTION)),
        ("peft-lokr", peft.LoKrConfig(r=4, alpha=6, target_modules=ATTENTION + FEED_FORWARD)),
        ("peft-lokr-both", peft.LoKrConfig(r=2, alpha=2, decompose_both=True, target_modules=FEED_FORWARD)),
    ]:
        model, _ = adapted(base, config, 20 + len(cases))
        model.save_pretrained(out / name)
        (out / name / "README.md").unlink(missing_ok=True)
        # peft writes a set in any order.
        path = out / name / "adapter_config.json"
        settings = json.loads(path.read_text())
        settings["target_modules"] = sorted(settings["target_modules"])
        path.write_text(json.dumps(settings, indent=2) + "\n")
        # peft does not merge biases into maps that have none.
        by_model(name, f"{name}:1", model.base_model.model if name == "peft-bias" else model.merge_and_unload())

    for name, make in [
        ("lycoris-lokr", lambda n, m: LokrModule(n, m, lora_dim=4, alpha=2, factor=8)),
        ("lycoris-lokr-full", lambda n, m: LokrModule(n, m, lora_dim=100000, alpha=1, factor=4)),
        ("lycoris-loha", lambda n, m: LohaModule(n, m, lora_dim=2, alpha=1)),
        ("lycoris-dora", lambda n, m: LoConModule(n, m, lora_dim=2, alpha=1, weight_decompose=True)),
        ("lycoris-dora-columns",
         lambda n, m: LoConModule(n, m, lora_dim=2, alpha=1, weight_decompose=True, wd_on_out=False)),
        ("lycoris-dokr", lambda n, m: LokrModule(n, m, lora_dim=4, alpha=2, factor=4, weight_decompose=True)),
    ]:
        state, model = lycoris(base, make, 100)
        save(name, state)
        by_model(name, f"{name}:1", model)

    # The text encoder's maps; diffusers' pipeline has no loader for them, so the reference is peft's model.
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model, state = adapted(plain.text_encoder, lora(r=2, lora_alpha=2, target_modules=names), 40)
    save("text-encoder", prefixed(state, "text_encoder.") | prefixed(toolkit, "transformer."))
    pipe = pipeline(checkpoint)
    pipe.load_lora_weights(prefixed(toolkit, "transformer."), adapter_name="one")
    pipe.text_encoder = model.merge_and_unload()
    case("text-encoder", "text-encoder:1", latents(pipe))

    save_file({k: v.contiguous() for k, v in found.items()}, out / "latents.safetensors")
    (out / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    assert all(math.isfinite(v.norm().item()) for v in found.values())


if __name__ == "__main__":
    main()
