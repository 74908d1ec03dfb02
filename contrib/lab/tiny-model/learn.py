"""Flow matching: the text encoder and the transformer learn together to point from noise to the picture's latents."""

import contextlib
import time

import numpy as np
import torch
import torch.nn.functional as F

import vae as autoencoder
import wording
from forward import Denoiser, bucket, encode_text, sigmas
from muon import Muon

STEPS = 8
EMPTY = 0.04  # share of captions replaced by the empty prompt, for guidance
ENCODE = 512  # pictures encoded at once


class Learner:
    def __init__(self, encoder, transformer, vae, pictures, tokenizer, arguments, log):
        self.encoder, self.transformer, self.vae = encoder, transformer, vae
        self.pictures, self.log, self.arguments = pictures, log, arguments
        self.device = next(transformer.parameters()).device
        compiled = self.device.type == "cuda" and not arguments.no_compile
        self.denoiser = Denoiser(transformer, compiled)
        unused = {id(p) for p in [*encoder.layers[-1].parameters(), *encoder.norm.parameters(), transformer.x_pad_token]}
        self.weights = [p for p in [*encoder.parameters(), *transformer.parameters()] if id(p) not in unused]
        self.mean = [w.detach().clone() for w in self.weights]
        matrices = [
            p
            for name, p in [*encoder.named_parameters(), *transformer.named_parameters()]
            if p.ndim == 2 and id(p) not in unused and any(part in name for part in ("attention.", "self_attn.", "feed_forward.", "mlp.")) and "t_embedder" not in name
        ]
        chosen = {id(p) for p in matrices}
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW([p for p in self.weights if id(p) not in chosen], betas=(0.9, 0.98), weight_decay=0.0, fused=self.device.type == "cuda")
        self.step = 0
        self.rng = np.random.default_rng(arguments.seed + 1000)
        self.levels = torch.tensor(sigmas(STEPS)[:-1], device=self.device)
        count = pictures.count
        self.latents = torch.empty(count, 16, 32, 32, dtype=torch.bfloat16, device=self.device)
        self.ids = torch.empty(pictures.ids.shape, dtype=torch.int16, device=self.device)
        self.lengths = torch.empty(pictures.lengths.shape, dtype=torch.uint8, device=self.device)
        self.encoded, self.short, self.long = 0, np.empty(0, np.int64), np.empty(0, np.int64)
        empty = wording.ids(tokenizer, "")
        self.empty_ids = torch.zeros(64, dtype=torch.int16, device=self.device)
        self.empty_ids[: len(empty)] = torch.tensor(empty, dtype=torch.int16)
        self.empty_length = len(empty)

    def averages(self):
        """The averaged weights by network, as state dicts."""
        with self.averaged():
            return {
                "encoder": {k: v.clone() for k, v in self.encoder.state_dict().items()},
                "transformer": {k: v.clone() for k, v in self.transformer.state_dict().items()},
            }

    @contextlib.contextmanager
    def averaged(self):
        """The networks with their averaged weights, for a while."""
        kept = [w.detach().clone() for w in self.weights]
        with torch.no_grad():
            torch._foreach_copy_(self.weights, self.mean)
            yield
            torch._foreach_copy_(self.weights, kept)

    def take_in(self, most: int):
        """Encodes up to `most` newly drawn pictures."""
        ready = min(self.pictures.ready(), self.encoded + most)
        for start in range(self.encoded, ready, ENCODE):
            end = min(start + ENCODE, ready)
            images = torch.from_numpy(self.pictures.images[start:end]).to(self.device)
            self.latents[start:end] = autoencoder.encode(self.vae, images).to(torch.bfloat16)
        if ready > self.encoded:
            part = slice(self.encoded, ready)
            self.ids[part] = torch.from_numpy(self.pictures.ids[part]).to(self.device)
            self.lengths[part] = torch.from_numpy(self.pictures.lengths[part]).to(self.device)
            lengths = self.pictures.lengths[part].reshape(-1)
            flat = np.arange(lengths.size) + self.encoded * self.lengths.shape[1]
            self.short = np.concatenate([self.short, flat[lengths <= 32]])
            self.long = np.concatenate([self.long, flat[lengths > 32]])
            self.encoded = ready

    def batch(self):
        """(latents, ids, lengths) of one bucket of caption lengths."""
        size = self.arguments.batch
        long = self.step % 8 == 7 and len(self.long) > size
        pool, width = (self.long, 64) if long else (self.short, 32)
        chosen = torch.from_numpy(pool[self.rng.integers(0, len(pool), size)]).to(self.device)
        picture, wording_ = chosen // self.lengths.shape[1], chosen % self.lengths.shape[1]
        ids, lengths = self.ids[picture, wording_], self.lengths[picture, wording_].long()
        if not long:
            dropped = torch.rand(size, device=self.device) < EMPTY
            ids = torch.where(dropped[:, None], self.empty_ids, ids)
            lengths = torch.where(dropped, self.empty_length, lengths)
        return self.latents[picture].float(), ids[:, :width].long(), lengths

    def noise_levels(self, size):
        """Levels as the schedule of any number of steps meets them; a third at the eight of eight steps."""
        u = torch.rand(size, device=self.device)
        any_level = 3 * u / (1 + 2 * u)
        eight = self.levels[torch.randint(STEPS, (size,), device=self.device)]
        return torch.where(torch.rand(size, device=self.device) < 0.35, eight, any_level)

    def loss(self, latents, noise, ids, lengths, sigma):
        mixed = torch.lerp(latents, noise, sigma[:, None, None, None])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            features = encode_text(self.encoder, ids)
            out = self.denoiser(mixed, 1 - sigma, features, lengths)
        return F.mse_loss(out, latents - noise)

    def update(self, loss, rate):
        self.adam.zero_grad(set_to_none=True)
        for group, _ in self.muon.groups:
            for p in group:
                p.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.muon.step(rate)
        decay = min(0.9985, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, self.weights, 1 - decay)
        self.step += 1

    def learn(self, end: float, keep):
        """Learns until the time `end`; the rate falls over the last third. `keep` saves now and then."""
        begin = kept = time.time()
        self.take_in(16384)
        self.log(f"learning from {self.encoded} pictures")
        total, said = torch.zeros((), device=self.device), time.time()
        while (now := time.time()) < end:
            if self.step % 10 == 0:
                self.take_in(ENCODE * 4)
            done = (now - begin) / (end - begin)
            rate = self.arguments.rate * min(1, (self.step + 1) / 200) * min(1, (1 - done) / 0.35 + 0.01)
            latents, ids, lengths = self.batch()
            loss = self.loss(latents, torch.randn_like(latents), ids, lengths, self.noise_levels(len(latents)))
            self.update(loss, rate)
            total += loss.detach()
            if self.step % 200 == 0 or self.step in (1, 20):
                value = total.item() / (1 if self.step == 1 else 19 if self.step == 20 else 180 if self.step == 200 else 200)
                total.zero_()
                self.log(f"step {self.step} loss {value:.4f} rate {rate:.2e} pictures {self.encoded} {(time.time() - said):.1f} s")
                said = time.time()
            if now - kept > 120:
                keep()
                kept = now
