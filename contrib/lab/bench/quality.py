"""How like two folders of images are, name by name: PSNR, SSIM, MS-SSIM and LPIPS.

usage: quality.py A B   (prints JSON: for each measure the median and the worst over all pairs)

The first three by torchmetrics. LPIPS fetches its weights once (perceptual.py); where that fails the result says so.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from perceptual import Perceptual

# A value for equal images, whose PSNR has no bound.
EQUAL_DB = 100.0


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    import numpy
    import torch
    from PIL import Image
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    def read(file: Path) -> torch.Tensor:
        """[1, 3, height, width], float32, 0 to 1."""
        return torch.from_numpy(numpy.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)[None] / 255

    first, second = map(Path, sys.argv[1:])
    pairs = [(read(file), read(second / file.name)) for file in sorted(first.glob("*.png"))]
    report: dict = {"n": len(pairs)}
    psnr = [min(peak_signal_noise_ratio(b, a, data_range=1.0).item(), EQUAL_DB) for a, b in pairs]
    report["psnr_db"] = {"median": statistics.median(psnr), "worst": min(psnr)}
    for name, measure in (("ssim", structural_similarity_index_measure),
                          ("ms_ssim", multiscale_structural_similarity_index_measure)):
        try:
            values = [measure(b, a, data_range=1.0).item() for a, b in pairs]
            report[name] = {"median": statistics.median(values), "worst": min(values)}
        except ValueError as error:  # MS-SSIM wants more than 160 pixels a side.
            report[name] = {"skipped": str(error).splitlines()[0][:200]}
    report["lpips_alex"] = lpips(pairs)
    print(json.dumps(report))


def lpips(pairs: list) -> dict:
    try:
        distance = Perceptual()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        return {"skipped": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    values = [distance(a, b) for a, b in pairs]
    return {"median": statistics.median(values), "worst": max(values)}


if __name__ == "__main__":
    main()
