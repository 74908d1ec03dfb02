"""Muon (Keller Jordan, 2024) for the weight matrices, all of one shape at once; AdamW does the rest."""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(g: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Newton-Schulz: the nearest matrices with singular values about 1, for a stack [n, rows, columns]."""
    a, b, c = COEFFICIENTS
    tall = g.shape[-2] > g.shape[-1]
    x = g.mT if tall else g
    x = x.bfloat16() if x.is_cuda else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Momentum, then orthogonalised steps of the size AdamW's would have (0.2 root mean square)."""

    def __init__(self, parameters, momentum=0.95, weight_decay=0.02):
        groups = {}
        for p in parameters:
            groups.setdefault(p.shape, []).append(p)
        self.groups = [(ps, torch.zeros(len(ps), *shape, device=ps[0].device)) for shape, ps in groups.items()]
        self.momentum, self.weight_decay = momentum, weight_decay

    @torch.no_grad()
    def step(self, lr: float):
        for parameters, average in self.groups:
            gradient = torch.stack([p.grad for p in parameters])
            average.lerp_(gradient, 1 - self.momentum)
            update = orthogonalise(gradient.lerp(average, self.momentum))
            size = 0.2 * max(update.shape[-2:]) ** 0.5
            torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)
            torch._foreach_add_(parameters, list((update * size).unbind()), alpha=-lr)
