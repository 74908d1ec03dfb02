"""Trains the autoencoder: crops first, whole pictures last; sharp edges by a loss on differences."""

import time

import numpy as np
import torch
import torch.nn.functional as F

import parts

KL = 5e-4  # keeps latents small and the decoder at ease with small errors; unused channels fall to zero


def reconstruction_loss(output, target):
    difference = output - target
    loss = difference.abs().mean() + difference.pow(2).mean()
    loss = loss + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    for scale in (4, 16):
        loss = loss + 0.5 * F.avg_pool2d(difference, scale).abs().mean()
    return loss


def to_float(images: torch.Tensor) -> torch.Tensor:
    """[B, H, W, 3] uint8 to [B, 3, H, W] in -1..1."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def batch_of(pictures, ready, size, crop, rng, device):
    images = torch.from_numpy(pictures.images[rng.integers(0, ready, size)]).to(device, non_blocking=True)
    if crop < images.shape[1]:
        y, x = rng.integers(0, (images.shape[1] - crop) // 8 + 1, 2) * 8
        images = images[:, y : y + crop, x : x + crop]
    return to_float(images)


def train(pictures, seconds: float, device, batch: int, log):
    """A trained autoencoder with scaling and shift measured."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    vae = parts.autoencoder().to(device)
    weights = list(vae.parameters())
    average = [w.detach().clone() for w in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01)
    start, step = time.time(), 0
    while (done := (time.time() - start) / seconds) < 1:
        # crops of a quarter of the area, then whole pictures
        whole = done > 0.6
        images = batch_of(pictures, pictures.ready(), batch // 4 if whole else batch, 256 if whole else 128, rng, device)
        lr = 1e-3 * min(1, (step + 1) / 100) * min(1, (1 - done) * 2 + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = lr
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            posterior = vae.encode(images).latent_dist
            output = vae.decode(posterior.sample()).sample
        mean, spread = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.pow(2) + spread.exp() - 1 - spread).mean()
        loss = reconstruction_loss(output.float(), images) + KL * kl
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, weights, 1 - min(0.998, (1 + step) / (10 + step)))
        if step % 100 == 0:
            error = (output.float() - images).abs().mean().item() * 127.5
            log(f"vae step {step} loss {loss.item():.4f} error {error:.2f}/255 kl {kl.item():.3f} norm {norm.item():.2f} ready {pictures.ready()}")
        step += 1
    with torch.no_grad():
        for weight, mean in zip(weights, average):
            weight.copy_(mean)
    scaling, shift, spread = measure(vae, pictures, rng, device)
    log(f"vae done after {step} steps: scaling {scaling:.4f} shift {shift:.4f} deviation by channel {spread}")
    vae.register_to_config(scaling_factor=scaling, shift_factor=shift)
    return vae.eval().requires_grad_(False)


def polish(vae, pictures, seconds: float, device, batch: int, log):
    """Trains the decoder alone on whole pictures, for latents a little off, as a transformer's are."""
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    weights = list(vae.decoder.requires_grad_(True).parameters())
    average = [w.detach().clone() for w in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01)
    edge = torch.ones(256, 256, device=device)
    edge[:6], edge[-6:], edge[:, :6], edge[:, -6:] = 3, 3, 3, 3  # the decoder sees least at the border
    start, step = time.time(), 0
    while (done := (time.time() - start) / seconds) < 1:
        images = batch_of(pictures, pictures.ready(), batch, 256, rng, device)
        for group in optimizer.param_groups:
            group["lr"] = 6e-4 * min(1, (step + 1) / 100) * (1 - done + 0.01)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            with torch.no_grad():
                latents = vae.encode(images).latent_dist.mean
                off = torch.rand(len(images), 1, 1, 1, device=device) * 0.15 / vae.config.scaling_factor
                latents = latents + off * torch.randn_like(latents)
            output = vae.decode(latents).sample.float()
        difference = output - images
        loss = reconstruction_loss(output, images) + (edge * (difference.abs() + 2 * difference.pow(2))).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, weights, 1 - min(0.998, (1 + step) / (10 + step)))
        if step % 200 == 0:
            log(f"polish step {step} loss {loss.item():.4f} error {difference.abs().mean().item() * 127.5:.2f}/255")
        step += 1
    with torch.no_grad():
        for weight, mean in zip(weights, average):
            weight.copy_(mean)
    vae.eval().requires_grad_(False)
    log(f"polished in {step} steps")


@torch.no_grad()
def measure(vae, pictures, rng, device):
    size = 64 if device.type == "cuda" else 8
    latents = torch.cat([vae.encode(batch_of(pictures, pictures.ready(), size, 256, rng, device)).latent_dist.mean for _ in range(8)])
    shift = latents.mean().item()
    spread = (latents - shift).pow(2).mean((0, 2, 3)).sqrt().tolist()
    return round(1 / latents.std().item(), 4), round(shift, 4), [round(s, 2) for s in spread]


@torch.no_grad()
def encode(vae, images: torch.Tensor) -> torch.Tensor:
    """Latents as the transformer sees them, [B, 16, 32, 32], of uint8 pictures [B, 256, 256, 3]."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        mean = vae.encode(to_float(images)).latent_dist.mean
    return (mean.float() - vae.config.shift_factor) * vae.config.scaling_factor
