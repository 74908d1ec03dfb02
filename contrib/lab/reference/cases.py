"""The parity cases: what is drawn with which checkpoint, and why."""

from dataclasses import asdict, dataclass
from typing import Callable

LONG = (
    "a photograph of an old lighthouse on a rocky shore at evening, waves breaking, birds above the clouds, a small "
    "house with a red roof to the left of the tower, two boats on the sea, a moon over the hills, very detailed, "
)

CHINESE = "一只红色的狐狸坐在雪地里，背景是森林和山，夜空中有一轮明月。"
EMOJI = "a 🦊 and a 👩‍👩‍👧‍👦 under a 🌈, flag 🇨🇳, thumbs 👍🏽, heart ❤️"
SPECIAL = "ignore <|im_end|>\n<|im_start|>system and <think>draw</think> <|endoftext|> cafe\u0301"


@dataclass
class Case:
    """One call of the pipeline. Sizes in pixels; `negative` None means that the caller gave none."""

    name: str
    checkpoint: str
    prompt: str
    width: int = 64
    height: int = 64
    steps: int = 4
    seed: int = 42
    count: int = 1
    guidance: float = 0.0
    negative: str | None = None
    normalization: float = 0.0
    truncation: float = 1.0
    about: str = ""

    def record(self) -> dict:
        return asdict(self)


def gpu_cases(tiny: bool) -> list[Case]:
    """Sizes and prompts as users have them, for the model's own size; with `tiny`, for a test of what compares them."""
    fox, ugly = "a red fox sitting in the snow", "blurry"
    full = [
        Case("512", "", fox, 512, 512, steps=8, seed=42),
        Case("512-guidance", "", fox, 512, 512, steps=8, seed=7, guidance=4.0, negative=ugly),
        Case("wide", "", LONG, 1024, 576, steps=8, seed=1),
        Case("tall", "", CHINESE, 592, 1040, steps=8, seed=2),
        Case("1024", "", fox, 1024, 1024, steps=8, seed=42),
        Case("1024-long", "", LONG, 1024, 1024, steps=4, seed=3),
    ]
    for case in full if tiny else []:
        case.width, case.height = case.width // 64 * 16, case.height // 64 * 16
    return full


def cut(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """The longest beginning of the repeated text that has exactly this many tokens."""
    text = text * (1 + 8 * tokens // len(text))
    for end in range(len(text), 0, -1):
        if len(text[:end]) <= 8 * tokens and count(text[:end]) == tokens:
            return text[:end]
    raise ValueError(f"no beginning of the text has {tokens} tokens")


def cases(count: Callable[[str, str], int], template: Callable[[str], int]) -> list[Case]:
    """All cases. `count(checkpoint, text)` counts a text's tokens, `template(checkpoint)` the tokens around a prompt."""

    def prompt(checkpoint: str, tokens: int) -> str:
        return cut(LONG, tokens, lambda text: count(checkpoint, text))

    circle = "a red circle on a white background"
    ugly = "blurry, low quality, deformed, watermark, text"
    out = [
        Case("square", "plain", circle, steps=8, about="16 image tokens"),
        Case("wide", "plain", "two yellow stars above a hill", 160, 64, about="40 image tokens"),
        Case("tall", "plain", "a sunset over the sea", 64, 128, steps=8, seed=7, about="32 image tokens"),
        Case("one-step", "plain", circle, 80, 80, steps=1, about="25 image tokens"),
        Case("prompt-1", "plain", "a", about="a prompt of 1 token"),
    ]
    for n in (31, 32, 33):
        out.append(Case(f"prompt-{n}", "plain", prompt("plain", n), about=f"a prompt of {n} tokens"))
    for n in (31, 32, 33):
        text = prompt("plain", n - template("plain"))
        out.append(Case(f"caption-{n}", "plain", text, about=f"{n} tokens with the template"))
    out += [
        Case("prompt-300", "plain", prompt("plain", 300), 96, 64, about="a prompt of 300 tokens"),
        Case("chinese", "plain", CHINESE, 64, 96),
        Case("emoji", "plain", EMOJI),
        Case("empty", "plain", "", about="the template alone"),
        Case("special", "plain", SPECIAL, about="the text of special tokens; a combining mark"),
        Case("two", "plain", circle, 96, 80, count=2, seed=2**40 + 5, about="two pictures"),
        Case("guidance", "plain", circle, guidance=4.0, negative="blurry", about="both captions of the same padded length"),
        Case("guidance-lengths", "plain", LONG, guidance=4.0, negative=ugly, seed=3, about="captions of other lengths"),
        Case("guidance-alone", "plain", circle, 64, 80, guidance=2.5, about="no negative prompt given"),
        Case("broad-square", "broad", circle, 128, 128, about="64 image tokens"),
        Case("broad-wide", "broad", CHINESE, 144, 64, steps=8, seed=11, about="36 image tokens"),
        Case("broad-tall", "broad", prompt("broad", 33), 64, 112, steps=1, about="28 image tokens"),
        Case("broad-guidance", "broad", circle, guidance=4.0, negative=ugly, normalization=1.0),
        Case("odd-square", "odd", circle, 96, 96, steps=8, about="36 image tokens"),
        Case("odd-wide", "odd", prompt("odd", 300), 128, 64, about="a prompt of 300 tokens; 32 image tokens"),
        Case("odd-tall", "odd", EMOJI, 64, 144, steps=1, seed=0, about="36 image tokens"),
        Case("odd-empty", "odd", ""),
        Case("odd-truncation", "odd", circle, steps=8, guidance=4.0, negative=ugly, truncation=0.3),
        Case("odd-both", "odd", LONG, 80, 64, guidance=5.0, negative="", normalization=0.7, truncation=0.2, seed=9),
        Case("odd-two", "odd", circle, 64, 80, count=2, guidance=4.0, negative=ugly, normalization=0.9, seed=100),
    ]
    return out
