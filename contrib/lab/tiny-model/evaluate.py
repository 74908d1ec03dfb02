"""Judges a model on held-out prompts, and the judge on drawings; prints the tables and makes the contact sheet.

    python evaluate.py MODEL_FOLDER [--out tables.md] [--sheet sheet.png] [--truth]
"""

import argparse
import json
import multiprocessing
import os
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from captions import caption, plain_caption
from draw import draw
from judge import verdict
from scenes import SCENES, scene_spec
from spec import held_out, test_specs

COUNTS = {"single": 220, "unseen": 80, "pair": 160, "count": 120}
SHEET = [
    "a red circle on a white background", "a blue star", "a big yellow heart on a dark blue background", "a small green triangle in the top left corner",
    "a purple ring on a gradient from pink to white", "an orange hexagon", "a red square to the left of a blue circle", "a yellow star above a purple heart",
    "two red stars", "three turquoise drops on a cream background", "a black cross below a green diamond", "a pink crescent on a black background",
    "a house under a night sky with a moon", "a sunset over the sea", "mountains with snow", "a tree in a meadow", "a boat at sea", "a rainbow over hills",
    "a city at night", "a hot-air balloon in the sky", "a red fox in the snow", "a black cat at night", "a pink flower in a meadow", "an orange fish in the sea",
    "a lighthouse by the sea", "a cactus in the desert at sunset", "a snowman in the snow", "a yellow car on a road", "a rocket in space", "a crescent moon and stars",
    "a cherry tree at sunset", "a blue house on a sunny day", "a boat with a red sail at sunset", "a purple hot air balloon", "an orange cat at sunset", "the sea at night",
]  # fmt: skip


def examination(counts=COUNTS, seed=2026):
    """(spec, prompt) of held-out pictures: every second prompt in plain words, the others in varied ones."""
    rng = random.Random(seed)
    specs = test_specs(seed, counts)
    assert all(held_out(spec) for spec in specs)
    return [(spec, plain_caption(spec) if i % 2 == 0 else caption(spec, rng)) for i, spec in enumerate(specs)]


def group_of(spec) -> str:
    from spec import unseen_pair

    if spec.kind == "single" and unseen_pair(spec.things[0]):
        return "unseen"
    return spec.kind


def judge_all(exam, pictures):
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        return pool.starmap(verdict, [(spec, picture) for (spec, _), picture in zip(exam, pictures)], chunksize=8)


ROWS = [
    ("shape and colour both right", "both", ("single", "unseen")),
    ("– of these: pairs of shape and colour never seen together", "both", ("unseen",)),
    ("– shape right", "shape", ("single", "unseen")),
    ("– colour right", "colour", ("single", "unseen")),
    ("relation right (with both shapes and both colours)", "relation", ("pair",)),
    ("count right (with shape and colour)", "count", ("count",)),
    ("– number of things right", "number", ("count",)),
    ("relation or count right", "relation or count", ("pair", "count")),
    ("place right", "place", ("single", "unseen")),
    ("size right, where said", "size", ("single", "unseen")),
    ("background right", "background", ("single", "unseen", "pair", "count")),
]


def table(exam, verdicts) -> tuple[str, dict]:
    """The table as Markdown, and its numbers."""
    answers = defaultdict(list)
    for (spec, _), verdict_ in zip(exam, verdicts):
        for name, value in verdict_.items():
            answers[group_of(spec), name].append(value)
            if name in ("relation", "count"):
                answers[group_of(spec), "relation or count"].append(value)
    lines, numbers = ["| measured | prompts | right |", "| --- | ---: | ---: |"], {}
    for title, name, groups in ROWS:
        values = [v for group in groups for v in answers[group, name]]
        if values:
            numbers[title] = sum(values) / len(values)
            lines.append(f"| {title} | {len(values)} | {100 * numbers[title]:.1f} % |")
    return "\n".join(lines), numbers


def scene_check(draw_pictures, per_scene=4):
    """Share of scenes whose picture is nearest (16 x 16 thumbnails) to the mean drawing of the scene asked for."""
    rng = random.Random(77)
    thumbnail = lambda p: np.asarray(Image.fromarray(p).resize((16, 16), Image.BOX), np.float32)  # noqa: E731
    specs = [s for name in SCENES for s in _scenes(name, per_scene, rng)]
    prompts = [caption(s, rng) for s in specs]
    pictures = draw_pictures(prompts, list(range(len(prompts))))
    known = {}
    for name, (times, variants) in SCENES.items():
        for t in set(times):
            for v in set(variants or [None]):
                s = type(specs[0])("scene", scene=name, attributes={"time": t, "variant": v})
                known[name, t, v] = np.mean([thumbnail(draw(s, rng)) for _ in range(2)], 0)
    right = []
    for s, picture in zip(specs, pictures):
        seen = thumbnail(picture)
        right.append(min(known, key=lambda key: np.abs(known[key] - seen).mean())[0] == s.scene)
    return sum(right) / len(right), len(right)


def _scenes(name, number, rng):
    found = []
    while len(found) < number:
        s = scene_spec(rng)
        if s.scene == name:
            found.append(s)
    return found


def contact_sheet(pictures, path: Path, columns=9, size=128):
    rows = -(-len(pictures) // columns)
    gap = 4
    sheet = Image.new("RGB", (columns * (size + gap) - gap, rows * (size + gap) - gap), (250, 250, 250))
    for i, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize((size, size), Image.LANCZOS)
        sheet.paste(tile, (i % columns * (size + gap), i // columns * (size + gap)))
    sheet.save(path, optimize=True)


def truth(exam):
    """The judge on drawings of the truth, and on drawings paired with another prompt (it must say no)."""
    drawings = [draw(spec, random.Random(f"truth-{i}")) for i, (spec, _) in enumerate(exam)]
    right, _ = table(exam, judge_all(exam, drawings))
    # each description with the next drawing of something else
    said = [(spec.things, spec.background or "white") for spec, _ in exam]
    pairs = [(i, (i + 1) % len(exam)) for i in range(len(exam)) if said[i] != said[(i + 1) % len(exam)]]
    wrong = judge_all([exam[i] for i, _ in pairs], [drawings[j] for _, j in pairs])
    return right, sum(all(v.values()) for v in wrong), len(wrong)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", type=Path)
    options.add_argument("--out", type=Path)
    options.add_argument("--sheet", type=Path)
    options.add_argument("--truth", action="store_true", help="also judge drawings")
    options.add_argument("--prompts", type=int, default=sum(COUNTS.values()), help="about how many held-out prompts")
    options.add_argument("--steps", type=int, default=8)
    options.add_argument("--guidance", type=float, default=0.0)
    options.add_argument("--failures", type=Path, help="a contact sheet of the pictures that were judged wrong")
    arguments = options.parse_args()
    part = arguments.prompts / sum(COUNTS.values())
    exam = examination({kind: max(2, round(n * part)) for kind, n in COUNTS.items()})
    report = []
    if arguments.truth:
        right, fooled, number = truth(exam)
        report.append(f"The judge on drawings of the same prompts:\n\n{right}\n\nThe judge on drawings of another prompt says yes to {fooled} of {number}.\n")
        print(report[-1])
    import torch

    from export import read
    from forward import Denoiser, pictures

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, encoder, transformer, vae = read(arguments.model, device)
    paint = lambda prompts, seeds: pictures((encoder, Denoiser(transformer), vae), tokenizer, prompts, seeds, arguments.steps, arguments.guidance, batch=64 if device == "cuda" else 8)  # noqa: E731
    started = time.time()
    drawn = paint([prompt for _, prompt in exam], list(range(len(exam))))
    seconds = (time.time() - started) / len(exam)
    verdicts = judge_all(exam, drawn)
    text, numbers = table(exam, verdicts)
    share, number = scene_check(paint)
    text += f"\n| scene recognised (nearest drawing by thumbnail) | {number} | {100 * share:.1f} % |"
    report.append(f"The model, {len(exam)} held-out prompts, {seconds:.2f} s a picture on {device}:\n\n{text}\n")
    print(report[-1])
    wrong = [i for i, v in enumerate(verdicts) if not all(v.values())]
    for i in wrong[:60]:
        print("wrong:", exam[i][1], [k for k, v in verdicts[i].items() if not v])
    if arguments.failures and wrong:
        contact_sheet([drawn[i] for i in wrong[:72]], arguments.failures)
    if arguments.sheet:
        contact_sheet(paint(SHEET, [42] * len(SHEET)), arguments.sheet)
    if arguments.out:
        arguments.out.write_text("\n".join(report))
        arguments.out.with_suffix(".json").write_text(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
