//! The transformer's tensors. Source: diffusers `models/transformers/transformer_z_image.py`.

use super::{ExpectedTensor, Tensors};
use crate::config::TransformerConfig;

/// Every tensor of the transformer.
pub(super) fn tensors(config: &TransformerConfig) -> Vec<ExpectedTensor> {
    let mut tensors = Tensors::default();
    let (dim, time) = (config.dim, config.time_width());
    let patch = format!("{}-{}", config.patch_size(), config.frame_patch_size());
    let (frequencies, time_inner) = TransformerConfig::TIME_EMBEDDER;
    tensors.linear_with_bias("t_embedder.mlp.0", frequencies, time_inner);
    tensors.linear_with_bias("t_embedder.mlp.2", time_inner, time);
    tensors.linear_with_bias(&format!("all_x_embedder.{patch}"), config.patch_width(), dim);
    tensors.norm("cap_embedder.0", config.cap_feat_dim);
    tensors.linear_with_bias("cap_embedder.1", config.cap_feat_dim, dim);
    tensors.add("x_pad_token", &[1, dim]);
    tensors.add("cap_pad_token", &[1, dim]);
    blocks(&mut tensors, "noise_refiner", config.n_refiner_layers, config, true);
    blocks(&mut tensors, "context_refiner", config.n_refiner_layers, config, false);
    blocks(&mut tensors, "layers", config.n_layers, config, true);
    let last = format!("all_final_layer.{patch}");
    tensors.linear_with_bias(&format!("{last}.adaLN_modulation.1"), time, dim);
    tensors.linear_with_bias(&format!("{last}.linear"), dim, config.patch_width());
    tensors.0
}

/// `count` blocks, with modulation by the time or without.
fn blocks(
    tensors: &mut Tensors,
    group: &str,
    count: i64,
    config: &TransformerConfig,
    modulated: bool,
) {
    let (dim, head, inner) = (config.dim, config.head_dim(), config.feed_forward_width());
    for i in 0..count {
        let name = |part: &str| format!("{group}.{i}.{part}");
        for norm in ["attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"] {
            tensors.norm(&name(norm), dim);
        }
        for projection in ["to_q", "to_k", "to_v", "to_out.0"] {
            tensors.linear(&name(&format!("attention.{projection}")), dim, dim);
        }
        tensors.norm(&name("attention.norm_q"), head);
        tensors.norm(&name("attention.norm_k"), head);
        tensors.linear(&name("feed_forward.w1"), dim, inner);
        tensors.linear(&name("feed_forward.w3"), dim, inner);
        tensors.linear(&name("feed_forward.w2"), inner, dim);
        if modulated {
            tensors.linear_with_bias(&name("adaLN_modulation.0"), config.time_width(), 4 * dim);
        }
    }
}
