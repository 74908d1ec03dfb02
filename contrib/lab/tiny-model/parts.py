"""The three networks, of the reference's own classes at small dimensions."""

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model

from wording import VOCABULARY

CHANNELS = 16
SHIFT = 3.0


def text_encoder() -> Qwen3Model:
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        rope_theta=1000000.0,
        tie_word_embeddings=True,
        attention_bias=False,
        bos_token_id=VOCABULARY - 3,
        eos_token_id=VOCABULARY - 1,
        pad_token_id=None,
        use_cache=False,
    )
    config._attn_implementation = "sdpa"
    return Qwen3Model(config)


def transformer() -> ZImageTransformer2DModel:
    model = ZImageTransformer2DModel(
        all_patch_size=[2],
        all_f_patch_size=[1],
        in_channels=CHANNELS,
        dim=240,
        n_layers=6,
        n_refiner_layers=1,
        n_heads=5,
        n_kv_heads=5,
        norm_eps=1e-5,
        qk_norm=True,
        cap_feat_dim=192,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[16, 16, 16],
        axes_lens=[1536, 512, 512],
    )
    with torch.no_grad():
        # begin near the identity: small gates, no dependence on time, no output
        for name, parameter in model.named_parameters():
            if "adaLN_modulation" in name:
                parameter.zero_()
        for block in [*model.layers, *model.noise_refiner]:
            scale_attention, gate_attention, scale_mlp, gate_mlp = block.adaLN_modulation[0].bias.chunk(4)
            gate_attention.fill_(0.3)
            gate_mlp.fill_(0.3)
        final = model.all_final_layer["2-1"].linear
        final.weight.zero_()
        final.bias.zero_()
        model.cap_pad_token.normal_(std=0.02)
        model.x_pad_token.normal_(std=0.02)
    return model


def autoencoder(scaling: float = 1.0, shift: float = 0.0) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[32, 64, 96, 96],
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=16,
        sample_size=256,
        scaling_factor=scaling,
        shift_factor=shift,
        force_upcast=True,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=True,
    )


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, use_dynamic_shifting=False, shift=SHIFT)
