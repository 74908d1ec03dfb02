"""A chart of a run's JSON: bars for 1024², 512² and the start, as SVG that is readable in light and dark.

usage: chart.py gpu.json docs/bench.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from rows import PEERS, written

GROUPS = {
    "1024": "1024 × 1024, 8 steps, bf16, warm",
    "512": "512 × 512, 8 steps, bf16, warm",
    "1024-float8": "1024 × 1024, float8",
    "ready": "start to ready, files in the page cache",
}
WIDTH, LABEL, BAR, LINE, HEAD = 860, 330, 400, 26, 34
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.ours { fill: #0969da }
.peer { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .ours { fill: #4493f8 }
  .peer { fill: #57606a }
}
"""


def bars(record: dict) -> list[tuple[str, float, str]]:
    """Name, median and class of what was measured for a row: ours first."""
    found = [("zimg", record["ours"]["median"], "ours")]
    found += [(PEERS[name], peer["median"], "peer") for name, peer in record["peers"].items() if "median" in peer]
    return found


def chart(data: dict) -> str:
    """The SVG. Each group has its own scale; a row without a peer to compare with is left out."""
    parts, y = [], 8
    for key, title in GROUPS.items():
        record = data["rows"].get(key, {})
        if "ours" not in record or not any("median" in peer for peer in record["peers"].values()):
            continue
        shown = bars(record)
        longest = max(value for _, value, _ in shown)
        y += HEAD
        parts.append(f'<text class="head" x="0" y="{y - 10}">{escape(title)}</text>')
        for name, value, kind in shown:
            width = max(1.0, BAR * value / longest)
            parts.append(f'<text class="small" x="{LABEL - 8}" y="{y + 15}" text-anchor="end">'
                         f'{escape(name.replace(", cuDNN attention", ""))}</text>')
            parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y + 2}" width="{width:.1f}" height="18" rx="2"/>')
            parts.append(f'<text x="{LABEL + width + 8:.1f}" y="{y + 16}">{written(value, record["unit"])}</text>')
            y += LINE
    if not parts:
        raise ValueError("the JSON has no row with both ours and a peer's figures")
    machine = data["machine"]
    y += 28
    below = ", ".join(str(machine[key]) for key in ("gpu", "cpu", "date") if key in machine)
    parts.append(f'<text class="small" x="0" y="{y - 8}">medians, less is better; {escape(below)}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
            f'role="img"><title>zimg and diffusers, time per image and per start</title><style>{STYLE}</style>\n'
            + "\n".join(parts) + "\n</svg>\n")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data = json.loads(Path(sys.argv[1]).read_text())
    try:
        Path(sys.argv[2]).write_text(chart(data))
    except ValueError as error:
        sys.exit(f"chart.py: {error}")


if __name__ == "__main__":
    main()
