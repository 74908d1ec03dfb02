"""What another program reads in images by zimg: witness.py OWN, as JSON.

OWN has guidance-G.png of `cargo run -p zimg-image --example own_files`. sd-parsers is a library that
galleries use; it knows nothing of zimg.
"""

import json
import sys
from pathlib import Path

from sd_parsers import ParserManager

rows = {}
for path in sorted(Path(sys.argv[1]).glob("guidance-*.png")):
    found = ParserManager().parse(path)
    sampler = found.samplers[0]
    rows[path.stem.removeprefix("guidance-")] = {
        "generator": str(found.generator),
        "prompt": "".join(prompt.value for prompt in sampler.prompts),
        "negative": "".join(prompt.value for prompt in sampler.negative_prompts),
        "sampler": sampler.name,
        "model": sampler.model.name,
        "parameters": sampler.parameters,
        "metadata": found.metadata,
    }
json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
print()
