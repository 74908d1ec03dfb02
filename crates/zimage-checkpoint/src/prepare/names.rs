//! Names of tensors in prepared files: those of ComfyUI's checkpoints, in which queries, keys and
//! values are one tensor, and the VAE has latent diffusion's names.
//!
//! The inverse of `layout/names`; a test there and back is below.

use crate::component::Component;

/// What the names of each component begin with.
pub(super) const fn prefix(component: Component) -> &'static str {
    match component {
        Component::Transformer => "model.diffusion_model.",
        Component::TextEncoder => "text_encoders.qwen3_4b.transformer.model.",
        Component::Vae => "vae.",
    }
}

/// What queries, keys and values are called apart, in the order of their rows in the fused tensor.
pub(super) const APART: [&str; 3] =
    [".attention.to_q.weight", ".attention.to_k.weight", ".attention.to_v.weight"];

/// The name of the tensor with the canonical name `name`; of queries, that of the fused tensor.
/// `levels` are those of the VAE.
pub(super) fn stored_name(component: Component, name: &str, levels: usize) -> String {
    let own = match component {
        Component::Transformer => transformer(name),
        Component::TextEncoder => name.to_owned(),
        Component::Vae => vae(name, levels),
    };
    format!("{}{own}", prefix(component))
}

fn transformer(name: &str) -> String {
    const PARTS: [(&str, &str); 6] = [
        ("all_x_embedder.2-1.", "x_embedder."),
        ("all_final_layer.2-1.", "final_layer."),
        (APART[0], ".attention.qkv.weight"),
        (".attention.to_out.0.", ".attention.out."),
        (".attention.norm_q.", ".attention.q_norm."),
        (".attention.norm_k.", ".attention.k_norm."),
    ];
    replaced(name, &PARTS)
}

fn vae(name: &str, levels: usize) -> String {
    const PARTS: [(&str, &str); 5] = [
        (".mid_block.attentions.0.", ".mid.attn_1."),
        (".mid_block.resnets.0.", ".mid.block_1."),
        (".mid_block.resnets.1.", ".mid.block_2."),
        (".conv_norm_out.", ".norm_out."),
        (".conv_shortcut.", ".nin_shortcut."),
    ];
    const ATTENTION: [(&str, &str); 5] = [
        (".group_norm.", ".norm."),
        (".to_q.", ".q."),
        (".to_k.", ".k."),
        (".to_v.", ".v."),
        (".to_out.0.", ".proj_out."),
    ];
    if name.contains(".attentions.0.") {
        return replaced(&replaced(name, &ATTENTION), &PARTS);
    }
    let name = level(name, levels).unwrap_or_else(|| name.to_owned());
    replaced(&name, &PARTS)
}

/// A tensor of a level: latent diffusion numbers the decoder's levels from the image down.
fn level(name: &str, levels: usize) -> Option<String> {
    let (begin, is_decoder, rest) = if let Some(rest) = name.strip_prefix("encoder.down_blocks.") {
        ("encoder.down", false, rest)
    } else {
        ("decoder.up", true, name.strip_prefix("decoder.up_blocks.")?)
    };
    let (number, rest) = rest.split_once('.')?;
    let number: usize = number.parse().ok()?;
    let number = if is_decoder { levels.checked_sub(number + 1)? } else { number };
    let rest = replaced(
        rest,
        &[
            ("resnets.", "block."),
            ("downsamplers.0.", "downsample."),
            ("upsamplers.0.", "upsample."),
        ],
    );
    Some(format!("{begin}.{number}.{rest}"))
}

/// Whether the stored tensor is a convolution of one pixel where the canonical one is a matrix.
pub(super) fn is_pixel_convolution(component: Component, name: &str) -> bool {
    component == Component::Vae && name.contains(".attentions.0.to_") && name.ends_with(".weight")
}

fn replaced(name: &str, parts: &[(&str, &str)]) -> String {
    match parts.iter().find(|(from, _)| name.contains(from)) {
        Some((from, to)) => name.replacen(from, to, 1),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::names;

    #[test]
    fn names_are_comfyuis() {
        let (transformer, vae) = (Component::Transformer, Component::Vae);
        for (component, canonical, stored) in [
            (transformer, "all_x_embedder.2-1.bias", "model.diffusion_model.x_embedder.bias"),
            (
                transformer,
                "layers.0.attention.to_q.weight",
                "model.diffusion_model.layers.0.attention.qkv.weight",
            ),
            (
                Component::TextEncoder,
                "layers.3.mlp.up_proj.weight",
                "text_encoders.qwen3_4b.transformer.model.layers.3.mlp.up_proj.weight",
            ),
            (
                vae,
                "decoder.up_blocks.0.resnets.1.conv1.bias",
                "vae.decoder.up.3.block.1.conv1.bias",
            ),
            (
                vae,
                "encoder.mid_block.attentions.0.to_out.0.weight",
                "vae.encoder.mid.attn_1.proj_out.weight",
            ),
        ] {
            assert_eq!(stored_name(component, canonical, 4), stored);
        }
    }

    #[test]
    fn stored_names_are_read_as_the_canonical_ones() {
        for name in [
            "all_final_layer.2-1.adaLN_modulation.1.bias",
            "cap_embedder.0.weight",
            "x_pad_token",
            "noise_refiner.1.attention.to_out.0.weight",
            "layers.7.attention.norm_q.weight",
            "layers.7.attention.norm_k.weight",
            "layers.7.feed_forward.w1.weight",
            "t_embedder.mlp.2.bias",
        ] {
            let mapped = names::transformer::map(&transformer(name), 64, 64);
            assert_eq!(mapped, names::Mapped::Whole(name.to_owned()));
        }
        for name in [
            "decoder.conv_in.bias",
            "decoder.conv_norm_out.weight",
            "decoder.up_blocks.0.resnets.2.norm1.bias",
            "decoder.up_blocks.2.resnets.0.conv_shortcut.weight",
            "decoder.up_blocks.1.upsamplers.0.conv.weight",
            "encoder.down_blocks.0.downsamplers.0.conv.bias",
            "encoder.down_blocks.3.resnets.1.conv2.weight",
            "encoder.mid_block.resnets.0.conv1.weight",
            "encoder.mid_block.resnets.1.norm2.weight",
            "decoder.mid_block.attentions.0.group_norm.bias",
            "decoder.mid_block.attentions.0.to_q.weight",
            "decoder.mid_block.attentions.0.to_v.bias",
            "decoder.mid_block.attentions.0.to_out.0.weight",
        ] {
            assert_eq!(names::vae::map(&vae(name, 4), 4), name);
        }
    }
}
