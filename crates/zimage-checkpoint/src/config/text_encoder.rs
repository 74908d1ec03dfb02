//! `text_encoder/config.json`: transformers' Qwen3, as versions 4 and 5 write it.

use serde::Deserialize;

use super::{Check, LAYERS, VOCABULARY, WIDTHS, parse};
use crate::error::Result;

/// The text encoder's dimensions, under the names that the file has.
#[derive(Clone, Debug, PartialEq)]
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

/// The file; what is not here changes nothing.
#[derive(Deserialize)]
struct File {
    vocab_size: i64,
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    num_key_value_heads: i64,
    head_dim: i64,
    rms_norm_eps: f64,
    max_position_embeddings: i64,
    hidden_act: String,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    use_sliding_window: bool,
    /// Version 5; derived from the line above if absent.
    layer_types: Option<Vec<String>>,
    /// Version 4.
    rope_theta: Option<f64>,
    /// Version 4: null, or a way to longer prompts.
    rope_scaling: Option<Rope>,
    /// Version 5 has both in here.
    rope_parameters: Option<Rope>,
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
        check.only("hidden_act", &file.hidden_act.as_str(), &"silu")?;
        check.only("attention_bias", &file.attention_bias, &false)?;
        check.only("use_sliding_window", &file.use_sliding_window, &false)?;
        for kind in file.layer_types.iter().flatten() {
            check.only("an entry of layer_types", &kind.as_str(), &"full_attention")?;
        }
        let ropes = || [&file.rope_parameters, &file.rope_scaling].into_iter().flatten();
        for kind in ropes().filter_map(|rope| rope.rope_type.as_deref()) {
            check.only("rope_type", &kind, &"default")?;
        }
        let rope_theta = ropes().find_map(|rope| rope.rope_theta).or(file.rope_theta);
        check.that(rope_theta.is_some(), || "it has no rope_theta".to_owned())?;

        let config = Self {
            vocab_size: file.vocab_size,
            hidden_size: file.hidden_size,
            intermediate_size: file.intermediate_size,
            num_hidden_layers: file.num_hidden_layers,
            num_attention_heads: file.num_attention_heads,
            num_key_value_heads: file.num_key_value_heads,
            head_dim: file.head_dim,
            rms_norm_eps: file.rms_norm_eps,
            rope_theta: rope_theta.unwrap_or_default(),
            max_position_embeddings: file.max_position_embeddings,
        };
        config.check(check)?;
        Ok(config)
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
