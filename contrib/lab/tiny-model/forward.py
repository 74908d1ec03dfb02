"""The same mathematics as the reference's forward passes, for whole batches at once (the reference takes lists).

`test_forward.py` holds them equal to diffusers and transformers.
"""

import torch
import torch.nn.functional as F

MULTIPLE = 32  # captions are padded to a multiple of this many tokens


def bucket(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


def encode_text(encoder, ids: torch.Tensor) -> torch.Tensor:
    """Features [B, L, hidden] of ids [B, L], padded on the right: the residual stream before the last layer.

    Attention is causal, so padding on the right changes no real token.
    """
    hidden = encoder.embed_tokens(ids)
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    rotary = encoder.rotary_emb(hidden, positions)
    for layer in encoder.layers[:-1]:
        hidden = layer(hidden, attention_mask=None, position_ids=positions, position_embeddings=rotary)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    return hidden


def norm(x, module):
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + module.eps)
    return wide.to(x.dtype) * module.weight.to(x.dtype)


def rotate(x, cos, sin):
    """Rotates neighbouring pairs; x [B, S, heads, d], cos and sin [S, d/2]."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x)


def attend(attention, x, cos, sin):
    q, k, v = (f(x).unflatten(-1, (attention.heads, -1)) for f in (attention.to_q, attention.to_k, attention.to_v))
    q, k = rotate(norm(q, attention.norm_q), cos, sin), rotate(norm(k, attention.norm_k), cos, sin)
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return attention.to_out[0](out.transpose(1, 2).flatten(-2))


def feed_forward(ff, x):
    return ff.w2(F.silu(ff.w1(x)) * ff.w3(x))


def plain_block(block, x, cos, sin):
    x = x + norm(attend(block.attention, norm(x, block.attention_norm1), cos, sin), block.attention_norm2)
    return x + norm(feed_forward(block.feed_forward, norm(x, block.ffn_norm1)), block.ffn_norm2)


def timed_block(block, x, cos, sin, time):
    modulation = block.adaLN_modulation(time)[:, None]
    scale_attention, gate_attention, scale_mlp, gate_mlp = modulation.chunk(4, -1)
    inner = norm(x, block.attention_norm1) * (1 + scale_attention)
    x = x + gate_attention.tanh() * norm(attend(block.attention, inner, cos, sin), block.attention_norm2)
    inner = norm(x, block.ffn_norm1) * (1 + scale_mlp)
    return x + gate_mlp.tanh() * norm(feed_forward(block.feed_forward, inner), block.ffn_norm2)


class Denoiser:
    """Calls a ZImageTransformer2DModel on batches of equally long captions."""

    def __init__(self, model, compiled: bool = False):
        self.model = model
        self.tables = {}
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.plain_block, self.timed_block = wrap(plain_block), wrap(timed_block)

    def rotary(self, caption: int, height: int, width: int, device):
        """cos and sin of the image tokens and of the caption tokens."""
        key = (caption, height, width, device)
        if key not in self.tables:
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            image = torch.stack([torch.full_like(rows, caption + 1), rows, columns], -1).flatten(0, 1)
            words = F.pad(torch.arange(1, caption + 1)[:, None], (0, 2))
            tables = [self.model.rope_embedder(ids).to(device) for ids in (image, words)]
            self.tables[key] = [(t.real.contiguous(), t.imag.contiguous()) for t in tables]
        return self.tables[key]

    def __call__(self, latents, t, features, lengths):
        """Minus the velocity, [B, 16, H, W] float32.

        latents [B, 16, H, W]; t = 1 - sigma, [B]; features [B, L, hidden] with L a multiple of 32; lengths [B].
        """
        model = self.model
        batch, channels, height, width = latents.shape
        rows, columns = height // 2, width // 2
        (cos, sin), (word_cos, word_sin) = self.rotary(features.shape[1], rows, columns, latents.device)
        with torch.autocast(latents.device.type, enabled=False):
            time = model.t_embedder(t.float() * model.t_scale)
        x = latents.unflatten(2, (rows, 2)).unflatten(4, (columns, 2)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        x = model.all_x_embedder["2-1"](x)
        time = time.to(x.dtype)
        for block in model.noise_refiner:
            x = self.timed_block(block, x, cos, sin, time)
        words = model.cap_embedder[1](norm(features, model.cap_embedder[0]))
        real = torch.arange(features.shape[1], device=x.device)[None] < lengths[:, None]
        words = torch.where(real[..., None], words, model.cap_pad_token.to(words.dtype))
        for block in model.context_refiner:
            words = self.plain_block(block, words, word_cos, word_sin)
        x = torch.cat([x, words], 1)
        cos, sin = torch.cat([cos, word_cos]), torch.cat([sin, word_sin])
        for block in model.layers:
            x = self.timed_block(block, x, cos, sin, time)
        final = model.all_final_layer["2-1"]
        scale = 1 + final.adaLN_modulation(time)[:, None]
        x = final.linear(F.layer_norm(x[:, : rows * columns], x.shape[-1:], eps=1e-6) * scale).float()
        x = x.unflatten(1, (rows, columns)).unflatten(3, (2, 2, channels)).permute(0, 5, 1, 3, 2, 4)
        return x.flatten(4).flatten(2, 3)


def sigmas(steps: int, shift: float = 3.0) -> list[float]:
    """The pipeline's noise levels: `steps` of them, then 0."""
    plain = torch.linspace(1, 1 / steps, steps).tolist()
    return [shift * s / (1 + (shift - 1) * s) for s in plain] + [0.0]


@torch.no_grad()
def sample(denoiser, noise, features, lengths, steps=8, guidance=0.0, empty=None):
    """Latents [B, 16, H, W] from noise of the same shape, as diffusers' ZImagePipeline (Euler). `empty` is the
    (features, lengths) of an empty prompt, for guidance."""
    latents = noise.float()
    levels = sigmas(steps)
    for now, then in zip(levels, levels[1:]):
        t = latents.new_full((len(latents),), 1 - now)
        out = denoiser(latents, t, features, lengths)
        if guidance:
            out = out + guidance * (out - denoiser(latents, t, *empty))
        latents = latents - (then - now) * out
    return latents


def batch_ids(token_ids: list[list[int]], device):
    """ids [B, L] padded on the right to the longest's bucket, and lengths [B]."""
    longest = max(bucket(len(i)) for i in token_ids)
    ids = torch.zeros(len(token_ids), longest, dtype=torch.long)
    for row, item in zip(ids, token_ids):
        row[: len(item)] = torch.tensor(item)
    return ids.to(device), torch.tensor([len(i) for i in token_ids], device=device)


@torch.no_grad()
def pictures(parts, tokenizer, prompts, seeds, steps=8, guidance=0.0, batch=64):
    """uint8 pictures [256, 256, 3] for prompts, one seed each. `parts` = (encoder, denoiser, vae), float32."""
    from wording import ids as prompt_ids

    encoder, denoiser, vae = parts
    device = next(vae.parameters()).device
    token_ids = [prompt_ids(tokenizer, p) for p in prompts]
    out = [None] * len(prompts)
    groups = {}
    for i, item in enumerate(token_ids):
        groups.setdefault(bucket(len(item)), []).append(i)
    for members in groups.values():
        for start in range(0, len(members), batch):
            part = members[start : start + batch]
            ids, lengths = batch_ids([token_ids[i] for i in part], device)
            noise = torch.cat([torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(seeds[i])) for i in part])
            empty = None
            if guidance:
                nothing, length = batch_ids([prompt_ids(tokenizer, "")] * len(part), device)
                nothing = torch.nn.functional.pad(nothing, (0, ids.shape[1] - nothing.shape[1]))
                empty = encode_text(encoder, nothing), length
            latents = sample(denoiser, noise.to(device), encode_text(encoder, ids), lengths, steps, guidance, empty)
            image = vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor).sample
            image = ((image.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            for i, picture in zip(part, image):
                out[i] = picture
    return out
