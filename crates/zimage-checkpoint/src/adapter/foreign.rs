//! Adapters of other models, and files that are no adapter, told by their keys.

/// Marks of other models' adapters in folded keys; the first that is found counts.
const MARKS: [(&[&str], &str); 12] = [
    (&["img_mlp", "txt_mlp", "img_mod"], "an adapter of Qwen-Image"),
    (&["single_blocks_", "single_transformer_blocks_", "double_blocks_"], "an adapter of FLUX"),
    (&["joint_blocks_", "x_block_"], "an adapter of Stable Diffusion 3"),
    (
        &["add_q_proj", "transformer_blocks_0_ff_context"],
        "an adapter of FLUX or Stable Diffusion 3",
    ),
    (&["te2_text_model", "te1_text_model"], "an adapter of Stable Diffusion XL"),
    (
        &[
            "down_blocks_",
            "up_blocks_",
            "input_blocks_",
            "output_blocks_",
            "mid_block_",
            "middle_block_",
        ],
        "an adapter of Stable Diffusion",
    ),
    (&["cross_attn_", "blocks_0_self_attn_"], "an adapter of Wan or of another video model"),
    (&["adaln_modulation_1", "cap_embedder"], "an adapter of Lumina"),
    (&["caption_projection", "scale_shift_table"], "an adapter of PixArt, Sana or LTX-Video"),
    (&["text_model_encoder_layers"], "an adapter of CLIP"),
    (&["transformer_blocks_"], "an adapter of another transformer"),
    (&["q_proj", "v_proj"], "an adapter of a language model"),
];

/// Which other model a file's adapter is for.
pub(super) fn model<'a>(spellings: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let has = |mark: &&str| {
        spellings.clone().any(|spelling| spelling.replace('.', "_").to_lowercase().contains(mark))
    };
    MARKS.iter().find(|(marks, _)| marks.iter().any(&has)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_models_are_named() {
        for (spelling, what) in [
            ("lora_unet_double_blocks_0_img_attn_proj", "an adapter of FLUX"),
            ("transformer.single_transformer_blocks.3.proj_mlp", "an adapter of FLUX"),
            ("transformer.transformer_blocks.0.img_mlp.net.2", "an adapter of Qwen-Image"),
            ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "an adapter of Stable Diffusion XL"),
            ("lora_unet_input_blocks_4_1_proj_in", "an adapter of Stable Diffusion"),
            (
                "diffusion_model.blocks.0.cross_attn.k",
                "an adapter of Wan or of another video model",
            ),
            ("model.layers.3.self_attn.v_proj", "an adapter of a language model"),
        ] {
            assert_eq!(model([spelling].into_iter()), Some(what), "{spelling}");
        }
        assert_eq!(model(["something.else"].into_iter()), None);
    }
}
