"""Prompts of one length in tokens, each another: a prompt that was seen before would cost its text encoder nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "reference"))
from cases import LONG, cut  # noqa: E402

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"

# For images of the built-in model that a person can judge.
THINGS = [f"a {colour} {shape} on a {ground} background" for colour in ("red", "blue", "green", "yellow")
          for shape in ("circle", "square", "star") for ground in ("white", "black")]


def counter(checkpoint: Path) -> Callable[[str], int] | None:
    """Counts a prompt's tokens with the template; None where the package `tokenizers` is missing."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer" / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(TEMPLATE.format(text)).ids)


def fresh(checkpoint: Path, tokens: int) -> Iterator[str]:
    """Prompts without end, each new until a thousand are used up, of so many tokens where they can be counted."""
    count = counter(checkpoint)
    while True:
        for number in range(1000):
            text = f"{number:03} {LONG}"
            try:
                yield cut(text, tokens, count) if count else text[:160]
            except ValueError:  # No beginning of it has just so many.
                continue
