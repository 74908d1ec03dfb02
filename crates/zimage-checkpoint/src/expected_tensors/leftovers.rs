//! Tensors that files have and the model does not, and that the reference drops without an error.

use crate::component::Component;

/// Whole names: a norm that Lumina's code has and Z-Image's has not, which diffusers'
/// `convert_z_image_transformer_checkpoint_to_diffusers` drops.
const TRANSFORMER: [&str; 1] = ["norm_final.weight"];
/// Ends of names: buffers that transformers 4.31 and before saved, and diffusers' own tables.
const BUFFERS: [&str; 4] = ["inv_freq", "position_ids", "freqs_cis", "logit_scale"];
/// Beginnings of names: the loss and the averages that ldm's trainer saved with the VAE.
const TRAINING: [&str; 2] = ["loss.", "model_ema."];

/// Whether the model has no use for the tensor, wherever it is found.
pub(crate) fn is_leftover(component: Component, name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match component {
        Component::Transformer => TRANSFORMER.contains(&name) || BUFFERS.contains(&last),
        Component::TextEncoder => BUFFERS.contains(&last),
        Component::Vae => TRAINING.iter().any(|begin| name.starts_with(begin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_leftovers_are_leftovers_and_nothing_else_is() {
        for (component, name, expected) in [
            (Component::Transformer, "norm_final.weight", true),
            (Component::Transformer, "norm_final.bias", false),
            (Component::Transformer, "layers.0.norm_final.weight", false),
            (Component::Transformer, "rope_embedder.freqs_cis", true),
            (Component::TextEncoder, "layers.3.self_attn.rotary_emb.inv_freq", true),
            (Component::TextEncoder, "rotary_emb.inv_freq", true),
            (Component::TextEncoder, "logit_scale", true),
            (Component::TextEncoder, "norm_final.weight", false),
            (Component::Vae, "loss.discriminator.main.0.weight", true),
            (Component::Vae, "quant_conv.weight", false),
        ] {
            assert_eq!(is_leftover(component, name), expected, "{component:?} {name}");
        }
    }
}
