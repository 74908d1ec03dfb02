//! `text_encoder/config.json`: transformers' Qwen3, as versions 4 and 5 write it.

use serde::{Deserialize, Serialize};

use super::{Check, LAYERS, VOCABULARY, WIDTHS, parse};
use crate::error::Result;

/// The text encoder's dimensions, under the names that the file has.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TextEncoderConfig {
    /// How many tokens there are.
    pub vocab_size: i64,
    /// Width of a token.
    pub hidden_size: i64,
    /// Inner width of the feed-forward.
    pub intermediate_size: i64,
    /// Layers, of which the last is not needed.
    pub num_hidden_layers: i64,
    /// Heads of queries.
    pub num_attention_heads: i64,
    /// Heads of keys and values, each shared by several of queries.
    pub num_key_value_heads: i64,
    /// Width of a head; even.
    pub head_dim: i64,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How many positions it was made for.
    pub max_position_embeddings: i64,
}

/// The file; what is left out or null has the default of the reference's constructor, and what is
/// not here changes nothing.
#[derive(Deserialize)]
struct File {
    vocab_size: Option<i64>,
    hidden_size: Option<i64>,
    intermediate_size: Option<i64>,
    num_hidden_layers: Option<i64>,
    num_attention_heads: Option<i64>,
    /// Null means as many as heads of queries; left out, it has a number for a default.
    #[serde(default = "key_value_heads")]
    num_key_value_heads: Option<i64>,
    head_dim: Option<i64>,
    rms_norm_eps: Option<f64>,
    max_position_embeddings: Option<i64>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    /// Version 5; derived from the line above if absent.
    layer_types: Option<Vec<String>>,
    /// Version 4.
    rope_theta: Option<f64>,
    /// Version 4: null, or a way to longer prompts.
    rope_scaling: Option<Rope>,
    /// Version 5 has both in here.
    rope_parameters: Option<Rope>,
}

/// `Qwen3Config`'s default.
const fn key_value_heads() -> Option<i64> {
    Some(32)
}

#[derive(Deserialize)]
struct Rope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
}

impl TextEncoderConfig {
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_file(&parse(file, bytes)?, &Check { file })
    }

    /// Layers that are needed: the prompt embeddings are the residual stream before the last one.
    pub fn used_layers(&self) -> i64 {
        self.num_hidden_layers - 1
    }

    /// Prefixes of tensors that are not needed: the last layer, the final norm, the language head.
    pub fn unused_prefixes(&self) -> [String; 3] {
        [format!("layers.{}.", self.used_layers()), "norm.".to_owned(), "lm_head.".to_owned()]
    }

    fn from_file(file: &File, check: &Check<'_>) -> Result<Self> {
        check.only("hidden_act", &file.hidden_act.as_deref().unwrap_or("silu"), &"silu")?;
        check.only("attention_bias", &file.attention_bias.unwrap_or(false), &false)?;
        check.only("use_sliding_window", &file.use_sliding_window.unwrap_or(false), &false)?;
        for kind in file.layer_types.iter().flatten() {
            check.only("an entry of layer_types", &kind.as_str(), &"full_attention")?;
        }
        let ropes = || [&file.rope_parameters, &file.rope_scaling].into_iter().flatten();
        for kind in ropes().filter_map(|rope| rope.rope_type.as_deref()) {
            check.only("rope_type", &kind, &"default")?;
        }
        let rope_theta = ropes().find_map(|rope| rope.rope_theta).or(file.rope_theta);

        // Defaults: transformers `Qwen3Config`, 5.23.
        let heads = file.num_attention_heads.unwrap_or(32);
        let config = Self {
            vocab_size: file.vocab_size.unwrap_or(151_936),
            hidden_size: file.hidden_size.unwrap_or(4096),
            intermediate_size: file.intermediate_size.unwrap_or(22_016),
            num_hidden_layers: file.num_hidden_layers.unwrap_or(32),
            num_attention_heads: heads,
            num_key_value_heads: file.num_key_value_heads.unwrap_or(heads),
            head_dim: file.head_dim.unwrap_or(128),
            rms_norm_eps: file.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: rope_theta.unwrap_or(10_000.0),
            max_position_embeddings: file.max_position_embeddings.unwrap_or(32_768),
        };
        config.check(check)?;
        Ok(config)
    }

    /// Itself, if its values are possible and supported; `file` is what messages call its origin.
    pub(crate) fn checked(self, file: &str) -> Result<Self> {
        self.check(&Check { file })?;
        Ok(self)
    }

    fn check(&self, check: &Check<'_>) -> Result<()> {
        let (heads, shared) = (self.num_attention_heads, self.num_key_value_heads);
        check.within("vocab_size", self.vocab_size, &VOCABULARY)?;
        check.within("hidden_size", self.hidden_size, &WIDTHS)?;
        check.within("intermediate_size", self.intermediate_size, &WIDTHS)?;
        check.within("num_hidden_layers", self.num_hidden_layers, &LAYERS)?;
        check.within("num_attention_heads", heads, &WIDTHS)?;
        check.within("num_key_value_heads", shared, &WIDTHS)?;
        check.within("head_dim", self.head_dim, &WIDTHS)?;
        check.within("max_position_embeddings", self.max_position_embeddings, &VOCABULARY)?;
        check.positive("rms_norm_eps", self.rms_norm_eps)?;
        check.positive("rope_theta", self.rope_theta)?;
        check.divides(("num_key_value_heads", shared), ("num_attention_heads", heads))?;
        check.even("head_dim", self.head_dim)
    }
}
