"""Make the tokenizer fixture: strings, and what the reference makes of them as prompts.

usage: make_token_fixture.py SMALL QWEN3 OUT.json
SMALL and QWEN3 are tokenizer.json files: that of the parity fixture's `plain`, and what fetch_tokenizer.py prints.
Each line of OUT has a string and, for either tokenizer, a digest of its token ids in the chat template.
"""

import json
import sys
import tempfile
from pathlib import Path

from transformers import Qwen2Tokenizer

from small_tokenizer import TEMPLATE
from token_strings import strings


def digest(ids: list[int]) -> str:
    """FNV-1a (64 bits) of the ids as little-endian 32-bit numbers."""
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def reference(file: Path, prompts: list[str]) -> list[list[int]]:
    """Token ids as ZImagePipeline gets them, without its cut at 512."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer.json").write_bytes(file.read_bytes())
        settings = file.with_name("tokenizer_config.json")
        config = {"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 131072, "chat_template": TEMPLATE}
        text = settings.read_text() if settings.exists() else json.dumps(config)
        (Path(folder) / "tokenizer_config.json").write_text(text)
        tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    chats = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
        )
        for prompt in prompts
    ]
    return [tokenizer([chat]).input_ids[0] for chat in chats]


def main() -> None:
    small, qwen3, out = map(Path, sys.argv[1:])
    prompts = strings()
    rows = zip(prompts, *([digest(ids) for ids in reference(file, prompts)] for file in (small, qwen3)))
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
