//! Types that matrices are prepared as, and which matrices they are.

use std::fmt;
use std::str::FromStr;

use crate::component::Component;
use crate::int8::becomes_int8;

/// The type of large matrices in a prepared file; all else is bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreparedType {
    /// 16 bits: what the model was trained in.
    #[default]
    BFloat16,
    /// 8-bit floating point (e4m3) with a scale for each row, as `--dtype float8` makes it.
    Float8,
    /// 8-bit integers with a scale for each row, rotated (ConvRot) where the width allows it.
    Int8,
}

/// What a checkpoint is prepared as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrepareOptions {
    /// The transformer's type.
    pub dtype: PreparedType,
    /// The text encoder's type.
    pub text_encoder: PreparedType,
}

impl PreparedType {
    /// Its name in options and in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BFloat16 => "bfloat16",
            Self::Float8 => "float8",
            Self::Int8 => "int8",
        }
    }
}

impl PrepareOptions {
    /// The type of the tensor `name` of a component.
    ///
    /// Refiners, embedders, modulation and the final layer stay in bfloat16 beside float8, as under
    /// `--dtype float8`: they are a sixteenth of the work, and float8 there degrades images. Of int8,
    /// refiners and modulation are a part, as in ComfyUI's files.
    pub(super) fn type_of(&self, component: Component, name: &str) -> PreparedType {
        let is_matrix = |groups: &[&str]| {
            let parts: Vec<&str> = name.split('.').collect();
            match parts[..] {
                ["layers", _, group, part, .., "weight"] => {
                    groups.contains(&group) && !part.contains("norm")
                }
                _ => false,
            }
        };
        match component {
            Component::Transformer if self.dtype == PreparedType::Int8 => {
                let becomes = becomes_int8(component, name);
                if becomes { PreparedType::Int8 } else { PreparedType::BFloat16 }
            }
            Component::Transformer if is_matrix(&["attention", "feed_forward"]) => self.dtype,
            Component::TextEncoder if is_matrix(&["self_attn", "mlp"]) => self.text_encoder,
            _ => PreparedType::BFloat16,
        }
    }
}

impl fmt::Display for PreparedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PreparedType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::BFloat16, Self::Float8, Self::Int8];
        let found = all.into_iter().find(|dtype| dtype.name() == text);
        found.ok_or_else(|| format!("dtype must be bfloat16, float8 or int8, not {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_the_main_layers_are_quantised_and_nothing_else_is() {
        let options =
            PrepareOptions { dtype: PreparedType::Float8, text_encoder: PreparedType::Int8 };
        let (transformer, text_encoder) = (Component::Transformer, Component::TextEncoder);
        for (component, name, dtype) in [
            (transformer, "layers.0.attention.to_q.weight", PreparedType::Float8),
            (transformer, "layers.29.attention.to_out.0.weight", PreparedType::Float8),
            (transformer, "layers.3.feed_forward.w2.weight", PreparedType::Float8),
            (transformer, "layers.3.attention.norm_q.weight", PreparedType::BFloat16),
            (transformer, "layers.3.ffn_norm1.weight", PreparedType::BFloat16),
            (transformer, "layers.3.adaLN_modulation.0.weight", PreparedType::BFloat16),
            (transformer, "noise_refiner.0.attention.to_q.weight", PreparedType::BFloat16),
            (transformer, "cap_embedder.1.weight", PreparedType::BFloat16),
            (text_encoder, "layers.0.self_attn.q_proj.weight", PreparedType::Int8),
            (text_encoder, "layers.35.mlp.down_proj.weight", PreparedType::Int8),
            (text_encoder, "layers.0.self_attn.q_norm.weight", PreparedType::BFloat16),
            (text_encoder, "embed_tokens.weight", PreparedType::BFloat16),
            (Component::Vae, "decoder.conv_in.weight", PreparedType::BFloat16),
        ] {
            assert_eq!(options.type_of(component, name), dtype, "{name}");
        }
        let options = PrepareOptions { dtype: PreparedType::Int8, ..options };
        for (name, dtype) in [
            ("noise_refiner.0.attention.to_q.weight", PreparedType::Int8),
            ("layers.3.adaLN_modulation.0.weight", PreparedType::Int8),
            ("cap_embedder.1.weight", PreparedType::BFloat16),
        ] {
            assert_eq!(options.type_of(transformer, name), dtype, "{name}");
        }
        assert_eq!("int8".parse(), Ok(PreparedType::Int8));
        assert!("fp8".parse::<PreparedType>().is_err());
    }
}
