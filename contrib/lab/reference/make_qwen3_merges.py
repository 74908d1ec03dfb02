"""Write the merges of Qwen3's tokenizer in the compact form that zimage-checkpoint contains.

usage: make_qwen3_merges.py TOKENIZER.JSON OUT; fetch_tokenizer.py brings the first.

The first 256 tokens are bytes in GPT-2's order, and merge i makes token 256 + i, so the merges say everything: of each,
the ids of its two parts. They are stored as six planes (low, middle and high bytes of all first parts, then of all
second parts) in one zlib stream; src/tokenizer/qwen3.rs reads it and makes the published file of it, to the byte.
"""

import json
import sys
import zlib
from pathlib import Path


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    model = json.loads(source.read_text())["model"]
    ids = model["vocab"]
    pairs = [(ids[first], ids[second]) for first, second in model["merges"]]
    for i, (first, second) in enumerate(model["merges"]):
        assert ids[first + second] == 256 + i, (i, first, second)
    planes = [bytes(pair[part] >> shift & 255 for pair in pairs) for part in (0, 1) for shift in (0, 8, 16)]
    out.write_bytes(zlib.compress(b"".join(planes), 9))


if __name__ == "__main__":
    main()
