"""Draws the pictures, trains the tiny model within a given time, judges it, and writes its weights.

    python train.py --minutes 9 --out OUT                    from nothing
    python train.py --minutes 8 --out OUT --resume FOLDER    goes on from a diffusers folder, the decoder first
    python train.py --export OUT --model FOLDER              only writes the diffusers folder from a run's weights
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

BEGIN = time.time()
SHARD = 15_000_000  # bytes of one file of weights


def log(*words):
    print(f"[{time.time() - BEGIN:6.1f}]", *words, flush=True)


def options():
    o = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    o.add_argument("--minutes", type=float, default=9)
    o.add_argument("--vae-minutes", type=float, default=2.6)
    o.add_argument("--polish-minutes", type=float, default=2.0, help="of the decoder alone, when going on")
    o.add_argument("--reserve", type=float, default=45, help="seconds kept for judging and writing")
    o.add_argument("--out", type=Path)
    o.add_argument("--resume", type=Path)
    o.add_argument("--pictures", type=int, default=160_000)
    o.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    o.add_argument("--batch", type=int, default=384)
    o.add_argument("--vae-batch", type=int, default=128)
    o.add_argument("--rate", type=float, default=1.5e-3)
    o.add_argument("--seed", type=int, default=1)
    o.add_argument("--prompts", type=int, default=580)
    o.add_argument("--no-compile", action="store_true")
    o.add_argument("--export", type=Path)
    o.add_argument("--model", type=Path)
    return o.parse_args()


def save(folder: Path, tokenizer, vae, networks):
    """Weights in float32, in files small enough to carry, with the tokenizer."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    scales = {"scaling": str(vae.config.scaling_factor), "shift": str(vae.config.shift_factor)}
    tensors = {f"vae.{k}": v for k, v in vae.state_dict().items()}
    tensors |= {f"{name}.{k}": v for name, state in networks.items() for k, v in state.items()}
    shards, size = [{}], 0
    for name, tensor in tensors.items():
        if size + tensor.nbytes > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach().float().cpu().contiguous()
        size += tensor.nbytes
    for i, shard in enumerate(shards):
        save_file(shard, folder / f"weights.{i}.safetensors", metadata=scales)


def load(folder: Path):
    """(tokenizer, vae, encoder, transformer) as saved."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    import parts

    states, scales = {"vae": {}, "encoder": {}, "transformer": {}}, {}
    for file in sorted(folder.glob("weights.*.safetensors")):
        with safe_open(file, "pt") as f:
            scales = f.metadata()
            for name in f.keys():
                part, key = name.split(".", 1)
                states[part][key] = f.get_tensor(name)
    made = parts.autoencoder(float(scales["scaling"]), float(scales["shift"])), parts.text_encoder(), parts.transformer()
    for part, state in zip(made, states.values()):
        part.load_state_dict(state)
    return (Tokenizer.from_file(str(folder / "tokenizer.json")), *made)


def export(folder: Path, model: Path):
    from export import write

    tokenizer, vae, encoder, transformer = load(folder)
    write(model, tokenizer, encoder, transformer, vae)


def main():
    arguments = options()
    if arguments.export:
        return export(arguments.export, arguments.model)
    from tokenizers import Tokenizer

    import wording
    from dataset import Pictures

    if arguments.resume:
        tokenizer = Tokenizer.from_file(str(arguments.resume / "tokenizer" / "tokenizer.json"))
    else:
        tokenizer = wording.learn_from_captions()
    log("tokenizer ready")
    pictures = Pictures(arguments.pictures, arguments.seed, arguments.workers, tokenizer)
    try:
        run(arguments, tokenizer, pictures)
    finally:
        pictures.close()


def run(arguments, tokenizer, pictures):
    import torch

    import parts
    import vae as autoencoder
    from learn import Learner

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    log("on", torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "torch", torch.__version__)
    while pictures.ready() < min(pictures.count, 4096):
        time.sleep(0.2)
    log(f"{pictures.ready()} pictures drawn")
    if arguments.resume:
        from export import read

        _, encoder, transformer, vae = read(arguments.resume, device)
        autoencoder.polish(vae, pictures, arguments.polish_minutes * 60, device, arguments.vae_batch // 4, log)
        encoder.requires_grad_(True)
        transformer.requires_grad_(True)
    else:
        vae = autoencoder.train(pictures, arguments.vae_minutes * 60, device, arguments.vae_batch, log)
        torch.manual_seed(1)
        encoder, transformer = parts.text_encoder(), parts.transformer()
    learner = Learner(encoder.to(device), transformer.to(device), vae, pictures, tokenizer, arguments, log)
    end = BEGIN + arguments.minutes * 60 - arguments.reserve
    save(arguments.out, tokenizer, vae, learner.averages())
    learner.learn(end, lambda: save(arguments.out, tokenizer, vae, learner.averages()))
    save(arguments.out, tokenizer, vae, learner.averages())
    judge(arguments, "after learning", tokenizer, learner, vae)
    log("done")


def judge(arguments, title, tokenizer, learner, vae):
    from evaluate import COUNTS, SHEET, contact_sheet, examination, judge_all, table
    from forward import Denoiser, pictures

    part = arguments.prompts / sum(COUNTS.values())
    exam = examination({kind: max(2, round(n * part)) for kind, n in COUNTS.items()})
    with learner.averaged():
        parts = learner.encoder, Denoiser(learner.transformer), vae
        drawn = pictures(parts, tokenizer, [p for _, p in exam], list(range(len(exam))))
        name = title.replace(" ", "-")
        contact_sheet(pictures(parts, tokenizer, SHEET, [42] * len(SHEET)), arguments.out / f"sheet-{name}.png", size=256)
    log(f"{title}: pictures drawn")
    verdicts = judge_all(exam, drawn)
    text, _ = table(exam, verdicts)
    log(f"{title}:\n{text}")
    (arguments.out / f"table-{name}.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
