//! What a file of weights is, by the names of its tensors: components of this model, or something
//! else that is often given in their place.

use super::names::{text_encoder, transformer, vae};
use crate::component::Component;

/// Something that is not read, and what to take instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, with its article.
    pub what: &'static str,
    /// What to do.
    pub instead: &'static str,
}

/// What to do with another model.
const ANOTHER_MODEL: &str =
    "this program generates with Z-Image: `zimg pull Tongyi-MAI/Z-Image-Turbo` fetches it";
/// What to do with weights in a form that is not read.
const ANOTHER_FORM: &str =
    "take the model as bfloat16, float8, int8 or GGUF: `zimg pull` fetches it";
/// What to do with additions to a model.
const AN_ADDITION: &str = "it is used together with a model: give the model's file or folder";

/// A mark: how a name is compared with a text.
enum Mark {
    /// The name contains it.
    Has(&'static str),
    /// The name ends with it.
    Ends(&'static str),
}

/// Forms of weights that are not read, whatever the model; seen before any component.
const FORMS: [(Mark, Foreign); 6] = [
    (
        Mark::Ends(".qweight"),
        foreign(
            "an SVDQuant, GPTQ or AWQ file (nunchaku), which only its own kernels read",
            ANOTHER_FORM,
        ),
    ),
    (
        Mark::Ends(".wscales"),
        foreign("an SVDQuant file (nunchaku), which only its own kernels read", ANOTHER_FORM),
    ),
    (
        Mark::Has(".quant_state.bitsandbytes"),
        foreign("a bitsandbytes file, whose blocks are not read", ANOTHER_FORM),
    ),
    (Mark::Ends(".lora_A.weight"), foreign("a LoRA and no model", AN_ADDITION)),
    (Mark::Ends(".lora_down.weight"), foreign("a LoRA and no model", AN_ADDITION)),
    (Mark::Ends(".lora_A.default.weight"), foreign("a LoRA and no model", AN_ADDITION)),
];

/// Other models and additions, told by a tensor; the first that is found counts.
const OTHERS: [(Mark, Foreign); 27] = [
    (Mark::Has(".lora."), foreign("a LoRA and no model", AN_ADDITION)),
    (Mark::Ends(".lokr_w1"), foreign("a LoKr adapter and no model", AN_ADDITION)),
    (Mark::Ends(".hada_w1_a"), foreign("a LoHa adapter and no model", AN_ADDITION)),
    (
        Mark::Has("control_all_x_embedder."),
        foreign("a ControlNet for Z-Image and no model", AN_ADDITION),
    ),
    (Mark::Has("control_layers.0."), foreign("a ControlNet for Z-Image and no model", AN_ADDITION)),
    (Mark::Has("siglip_embedder."), foreign("the Omni variant of Z-Image", ANOTHER_MODEL)),
    (Mark::Has("input_blocks.0.0.weight"), foreign("Stable Diffusion 1, 2 or XL", ANOTHER_MODEL)),
    (
        Mark::Has("down_blocks.0.attentions.0.transformer_blocks.0"),
        foreign("the U-Net of Stable Diffusion", ANOTHER_MODEL),
    ),
    (Mark::Has("double_stream_modulation_img."), foreign("FLUX.2", ANOTHER_MODEL)),
    (
        Mark::Has("double_blocks.0.img_attn."),
        foreign("FLUX.1 or a model of its family", ANOTHER_MODEL),
    ),
    (
        Mark::Has("single_transformer_blocks.0."),
        foreign("FLUX in the names of diffusers", ANOTHER_MODEL),
    ),
    (Mark::Has("joint_blocks.0.x_block."), foreign("Stable Diffusion 3", ANOTHER_MODEL)),
    (Mark::Has("transformer_blocks.0.img_mlp."), foreign("Qwen-Image", ANOTHER_MODEL)),
    (
        Mark::Has("transformer_blocks.0.attn.add_q_proj."),
        foreign("Stable Diffusion 3 in the names of diffusers", ANOTHER_MODEL),
    ),
    (Mark::Has("cap_embedder.1.weight"), foreign("Lumina or a model of its family", ANOTHER_MODEL)),
    (Mark::Has("head.modulation"), foreign("Wan", ANOTHER_MODEL)),
    (Mark::Has("blocks.0.adaln_modulation_cross_attn."), foreign("Cosmos", ANOTHER_MODEL)),
    (Mark::Has("scale_shift_table"), foreign("LTX-Video or PixArt", ANOTHER_MODEL)),
    (Mark::Has("SelfAttention.q.weight"), foreign("the text encoder T5", TEXT_ENCODER)),
    (Mark::Has("enc.blk.0.attn_q."), foreign("the text encoder T5", TEXT_ENCODER)),
    (Mark::Has("text_model.encoder.layers.0."), foreign("a text encoder of CLIP", TEXT_ENCODER)),
    (Mark::Has("visual."), foreign("a language model that sees images", TEXT_ENCODER)),
    (
        Mark::Has("layers.0.self_attn.q_proj.bias"),
        foreign("Qwen2 or a model of its family", TEXT_ENCODER),
    ),
    (
        Mark::Has("layers.0.self_attn.q_proj."),
        foreign("a language model other than Qwen3", TEXT_ENCODER),
    ),
    (Mark::Has("blk.0.attn_q."), foreign("a language model other than Qwen3", TEXT_ENCODER)),
    (Mark::Has("decoder.middle.0.residual."), foreign("the VAE of Wan or Qwen-Image", VAE)),
    (Mark::Has("decoder.layers."), foreign("a small VAE for previews", VAE)),
];

/// What to do with another text encoder.
const TEXT_ENCODER: &str = "the text encoder of Z-Image is Qwen3-4B: qwen_3_4b.safetensors";
/// What to do with another VAE.
const VAE: &str = "the VAE of Z-Image is that of FLUX.1: ae.safetensors";

const fn foreign(what: &'static str, instead: &'static str) -> Foreign {
    Foreign { what, instead }
}

/// The components in a file: of each, what its tensors' names begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) transformer: Option<String>,
    pub(crate) text_encoder: Option<String>,
    pub(crate) vae: Option<String>,
}

impl Contents {
    /// What a component's names begin with, if it is there.
    pub(crate) fn prefix(&self, component: Component) -> Option<&str> {
        match component {
            Component::Transformer => self.transformer.as_deref(),
            Component::TextEncoder => self.text_encoder.as_deref(),
            Component::Vae => self.vae.as_deref(),
        }
    }

    /// The component to which a tensor belongs: that of the longest beginning.
    pub(crate) fn component(&self, name: &str) -> Option<Component> {
        let begins = |component: &Component| {
            self.prefix(*component).filter(|prefix| name.starts_with(*prefix)).map(str::len)
        };
        Component::ALL.into_iter().filter(|c| begins(c).is_some()).max_by_key(begins)
    }

    /// Whether no component was found.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The components that a file with these tensors has.
///
/// # Errors
/// When it is something that is not read.
pub(crate) fn contents<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<Contents, Foreign> {
    if let Some(found) = found(&FORMS, names.clone()) {
        return Err(found);
    }
    let prefix = |mark: &str| {
        names.clone().find_map(|name| {
            let prefix = name.strip_suffix(mark)?;
            (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
        })
    };
    // A language model that also sees images has the same layers under other names.
    let sees = names.clone().any(|name| name.contains("visual."));
    let language = || {
        let found = prefix(text_encoder::MARK).or_else(|| prefix(text_encoder::LLAMA_MARK))?;
        let root = found.strip_suffix(text_encoder::PREFIX).unwrap_or(&found);
        let root = if root.is_empty() || root.ends_with('.') { root } else { &found };
        Some(root.to_owned())
    };
    let transformer = prefix(transformer::MARK).filter(|prefix| {
        let pads = format!("{prefix}cap_pad_token");
        names.clone().any(|name| name == pads)
    });
    let contents = Contents {
        transformer,
        text_encoder: if sees { None } else { language() },
        vae: prefix(vae::MARK).filter(|prefix| {
            let last = format!("{prefix}decoder.conv_out.weight");
            names.clone().any(|name| name == last)
        }),
    };
    match found(&OTHERS, names) {
        Some(found) if contents.is_empty() || found.instead == AN_ADDITION => Err(found),
        _ => Ok(contents),
    }
}

fn found<'a>(
    marks: &[(Mark, Foreign)],
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<Foreign> {
    let is_there = |mark: &Mark| {
        names.clone().any(|name| match mark {
            Mark::Has(part) => name.contains(part),
            Mark::Ends(end) => name.ends_with(end),
        })
    };
    marks.iter().find(|(mark, _)| is_there(mark)).map(|(_, foreign)| *foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Contents, &'static str> {
        contents(names.iter().copied()).map_err(|foreign| foreign.what)
    }

    fn here(prefix: &str) -> Option<String> {
        Some(prefix.to_owned())
    }

    #[test]
    fn components_are_found_with_their_prefix() {
        let none = Contents::default();
        for (names, contents) in [
            (
                &["layers.0.adaLN_modulation.0.weight", "cap_pad_token"][..],
                Contents { transformer: here(""), ..none.clone() },
            ),
            (
                &[
                    "model.diffusion_model.layers.0.adaLN_modulation.0.weight",
                    "model.diffusion_model.cap_pad_token",
                ],
                Contents { transformer: here("model.diffusion_model."), ..none.clone() },
            ),
            (
                &["model.layers.0.self_attn.q_norm.weight", "lm_head.weight"],
                Contents { text_encoder: here(""), ..none.clone() },
            ),
            (
                &["layers.0.self_attn.q_norm.weight"],
                Contents { text_encoder: here(""), ..none.clone() },
            ),
            (
                &["blk.0.attn_q_norm.weight", "blk.0.attn_q.weight"],
                Contents { text_encoder: here(""), ..none.clone() },
            ),
            (
                &["text_encoders.qwen3_4b.transformer.model.layers.0.self_attn.q_norm.weight"],
                Contents {
                    text_encoder: here("text_encoders.qwen3_4b.transformer."),
                    ..none.clone()
                },
            ),
            (
                &["vae.decoder.conv_in.weight", "vae.decoder.conv_out.weight"],
                Contents { vae: here("vae."), ..none.clone() },
            ),
            (
                &[
                    "first_stage_model.decoder.conv_in.weight",
                    "first_stage_model.decoder.conv_out.weight",
                ],
                Contents { vae: here("first_stage_model."), ..none.clone() },
            ),
            (&["something.else"], none),
        ] {
            assert_eq!(of(names), Ok(contents), "{names:?}");
        }
    }

    #[test]
    fn other_models_are_named() {
        for (names, what) in [
            (
                &[
                    "model.diffusion_model.input_blocks.0.0.weight",
                    "first_stage_model.decoder.conv_in.weight",
                    "first_stage_model.decoder.conv_out.weight",
                ][..],
                None,
            ),
            (&["double_blocks.0.img_attn.qkv.weight"], Some("FLUX.1 or a model of its family")),
            (&["transformer_blocks.0.img_mlp.net.0.proj.weight"], Some("Qwen-Image")),
            (&["joint_blocks.0.x_block.attn.qkv.weight"], Some("Stable Diffusion 3")),
            (
                &[
                    "control_layers.0.adaLN_modulation.0.weight",
                    "control_all_x_embedder.2-1.weight",
                ],
                Some("a ControlNet for Z-Image and no model"),
            ),
            (
                &["diffusion_model.layers.0.attention.to_q.lora_A.weight"],
                Some("a LoRA and no model"),
            ),
            (&["lora_unet_layers_0_attention_to_q.lora_down.weight"], Some("a LoRA and no model")),
            (&["layers.0.attention.to_q.lokr_w1"], Some("a LoKr adapter and no model")),
            (
                &[
                    "layers.0.adaLN_modulation.0.weight",
                    "cap_pad_token",
                    "layers.0.attention.to_out.0.qweight",
                ],
                Some("an SVDQuant, GPTQ or AWQ file (nunchaku), which only its own kernels read"),
            ),
            (
                &["cap_embedder.1.weight", "layers.0.adaLN_modulation.1.weight"],
                Some("Lumina or a model of its family"),
            ),
            (&["model.layers.0.self_attn.q_proj.bias"], Some("Qwen2 or a model of its family")),
            (
                &["model.layers.0.self_attn.q_norm.weight", "model.visual.blocks.0.x"],
                Some("a language model that sees images"),
            ),
            (&["text_model.encoder.layers.0.mlp.fc1.weight"], Some("a text encoder of CLIP")),
        ] {
            match what {
                Some(what) => assert_eq!(of(names), Err(what), "{names:?}"),
                // Its autoencoder is found, and lacks what this model's has.
                None => assert!(of(names).is_ok_and(|found| found.transformer.is_none())),
            }
        }
    }

    #[test]
    fn a_tensor_belongs_to_the_longest_beginning() {
        let contents = Contents { transformer: here(""), text_encoder: None, vae: here("vae.") };
        assert_eq!(contents.component("vae.decoder.x"), Some(Component::Vae));
        assert_eq!(contents.component("layers.0.x"), Some(Component::Transformer));
        let contents = Contents { vae: here("vae."), ..Contents::default() };
        assert_eq!(contents.component("model_ema.decay"), None);
    }
}
