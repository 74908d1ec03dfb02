//! Configurations of files that have none: dimensions from the tensors' shapes, and what shapes do not
//! say from the published model.

use std::collections::BTreeMap;

use super::{SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use crate::error::{Error, Result};
use crate::kind::ModelKind;

/// Rotary base of Qwen3-4B, unless the file says another.
const ROPE_THETA: f64 = 1e6;
/// Epsilon of its norms.
const RMS_NORM_EPS: f64 = 1e-6;
/// Positions of its `config.json`.
const POSITIONS: i64 = 40_960;
/// What latents are scaled and shifted by: `vae/config.json` of Z-Image, which is FLUX.1's.
const VAE_SCALING: (f64, f64) = (0.3611, 0.1159);
/// The side of images that it was trained on.
const SAMPLE_SIZE: i64 = 1024;

/// Shapes by canonical name.
pub(crate) struct Shapes<'a> {
    /// What messages call the file.
    pub(crate) place: &'a str,
    /// The shapes.
    pub(crate) shapes: BTreeMap<&'a str, &'a [i64]>,
}

/// What a text encoder's file says beside its tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TextEncoderFacts {
    pub(crate) rope_theta: Option<f64>,
    pub(crate) rms_norm_eps: Option<f64>,
    pub(crate) positions: Option<i64>,
}

impl Shapes<'_> {
    /// The transformer's dimensions.
    pub(crate) fn transformer(&self, latent_channels: i64) -> Result<TransformerConfig> {
        let [dim, patch] = self.matrix("all_x_embedder.2-1.weight")?;
        let head = self
            .vector("noise_refiner.0.attention.norm_q.weight")
            .or_else(|_| self.vector("layers.0.attention.norm_q.weight"))?;
        let defaults = TransformerConfig::default();
        let side = (1..=16).find(|side| side * side * latent_channels == patch);
        let heads = if head > 0 { dim / head } else { 0 };
        let config = TransformerConfig {
            all_patch_size: side.into_iter().collect(),
            in_channels: latent_channels,
            dim,
            n_layers: self.count("layers."),
            n_refiner_layers: self.count("noise_refiner."),
            n_heads: heads,
            n_kv_heads: heads,
            cap_feat_dim: self.vector("cap_embedder.0.weight")?,
            axes_dims: axes(head),
            // The checkpoints' own, which differ from the constructor's.
            axes_lens: vec![1536, 512, 512],
            ..defaults
        };
        config.checked(self.place)
    }

    /// The text encoder's dimensions.
    pub(crate) fn text_encoder(&self, facts: TextEncoderFacts) -> Result<TextEncoderConfig> {
        let [vocab_size, hidden_size] = self.matrix("embed_tokens.weight")?;
        let head_dim = self.vector("layers.0.self_attn.q_norm.weight")?;
        let heads = |name: &str| {
            let rows = self.matrix(name)?[0];
            Ok::<_, Error>(if head_dim > 0 { rows / head_dim } else { 0 })
        };
        let config = TextEncoderConfig {
            vocab_size,
            hidden_size,
            intermediate_size: self.matrix("layers.0.mlp.gate_proj.weight")?[0],
            num_hidden_layers: self.count("layers."),
            num_attention_heads: heads("layers.0.self_attn.q_proj.weight")?,
            num_key_value_heads: heads("layers.0.self_attn.k_proj.weight")?,
            head_dim,
            rms_norm_eps: facts.rms_norm_eps.unwrap_or(RMS_NORM_EPS),
            rope_theta: facts.rope_theta.unwrap_or(ROPE_THETA),
            max_position_embeddings: facts.positions.unwrap_or(POSITIONS),
        };
        config.checked(self.place)
    }

    /// The autoencoder's dimensions.
    pub(crate) fn vae(&self) -> Result<VaeConfig> {
        let levels = self.count("encoder.down_blocks.");
        let width =
            |level: i64| self.rows(&format!("encoder.down_blocks.{level}.resnets.0.conv1.weight"));
        let widths = (0..levels).map(width).collect::<Result<Vec<_>>>()?;
        let latents = self.shape("decoder.conv_in.weight")?.get(1).copied().unwrap_or(0);
        let (scaling_factor, shift_factor) = VAE_SCALING;
        let config = VaeConfig {
            in_channels: 3,
            out_channels: self.rows("decoder.conv_out.weight")?,
            latent_channels: latents,
            norm_num_groups: groups(&widths),
            block_out_channels: widths,
            layers_per_block: self.count("encoder.down_blocks.0.resnets."),
            mid_block_add_attention: self
                .shapes
                .contains_key("decoder.mid_block.attentions.0.to_q.weight"),
            scaling_factor,
            shift_factor,
            force_upcast: true,
            sample_size: SAMPLE_SIZE,
        };
        config.checked(self.place)
    }

    fn shape(&self, name: &str) -> Result<&[i64]> {
        self.shapes.get(name).copied().ok_or_else(|| Error::MissingTensor {
            place: self.place.to_owned(),
            name: name.to_owned(),
        })
    }

    fn matrix(&self, name: &str) -> Result<[i64; 2]> {
        let shape = self.shape(name)?;
        shape.try_into().map_err(|_| self.odd(name, shape, "two dimensions"))
    }

    fn vector(&self, name: &str) -> Result<i64> {
        let shape = self.shape(name)?;
        match shape {
            [length] => Ok(*length),
            _ => Err(self.odd(name, shape, "one dimension")),
        }
    }

    fn rows(&self, name: &str) -> Result<i64> {
        let shape = self.shape(name)?;
        shape.first().copied().ok_or_else(|| self.odd(name, shape, "dimensions"))
    }

    fn odd(&self, name: &str, shape: &[i64], expected: &str) -> Error {
        let reason =
            format!("the tensor {name} has the shape {shape:?}, and should have {expected}");
        Error::Config { file: self.place.to_owned(), reason }
    }

    /// How many numbers from 0 on follow `begin` in names.
    fn count(&self, begin: &str) -> i64 {
        let has = |number: i64| {
            let begin = format!("{begin}{number}.");
            let next = self.shapes.range(begin.as_str()..).next();
            next.is_some_and(|(name, _)| name.starts_with(&begin))
        };
        (0..=self.shapes.len() as i64).find(|number| !has(*number)).unwrap_or(0)
    }
}

impl SchedulerConfig {
    /// The schedule of a kind of the model.
    pub(crate) fn of(kind: ModelKind) -> Self {
        Self { num_train_timesteps: 1000, shift: kind.shift() }
    }
}

/// How a head's numbers are shared between the axes: 32, 48 and 48 of 128, and in this proportion.
fn axes(head: i64) -> Vec<i64> {
    let rows = head * 3 / 16 * 2;
    vec![head - 2 * rows, rows, rows]
}

/// Groups of the norms: 32, or the largest power of two that divides all widths of a small model.
fn groups(widths: &[i64]) -> i64 {
    (0..=5)
        .rev()
        .map(|power| 1 << power)
        .find(|groups| widths.iter().all(|w| w % groups == 0))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_and_groups_are_those_of_the_published_model() {
        assert_eq!(axes(128), [32, 48, 48]);
        assert_eq!(axes(32), [8, 12, 12]);
        assert_eq!(axes(16), [4, 6, 6]);
        assert_eq!(groups(&[128, 256, 512, 512]), 32);
        assert_eq!(groups(&[8, 16, 16, 24]), 8);
        assert_eq!(groups(&[9]), 1);
    }

    #[test]
    fn layers_are_counted_up_to_the_first_that_is_missing() {
        let shape: &[i64] = &[1];
        let names = ["layers.0.a", "layers.1.a", "layers.10.a", "layers.2", "layers.3.a"];
        let shapes = Shapes { place: "f", shapes: names.map(|name| (name, shape)).into() };
        assert_eq!((shapes.count("layers."), shapes.count("noise.")), (2, 0));
    }
}
