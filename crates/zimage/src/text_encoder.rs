//! Qwen3 as a text encoder: token ids to prompt embeddings.
//!
//! Source: transformers `models/qwen3/modeling_qwen3.py`. The prompt embeddings are the residual stream
//! before the last layer (`hidden_states[-2]`), without the final norm; neither that layer nor
//! the norm is loaded.

use tch::{Device, Kind, Tensor};

use crate::checkpoint::TextEncoderConfig;
use crate::error::Result;
use crate::nn::{FeedForward, Precision, ProjectionNames, SelfAttention, Visitor};
use crate::ops::{Heads, Ops, RmsNorm, Rotation, Scale};
use crate::weights::streaming::Pass;
use crate::weights::{FileRows, Weights};

/// The names of attention's projections and norms in transformers.
const NAMES: ProjectionNames = ProjectionNames {
    q: "q_proj",
    k: "k_proj",
    v: "v_proj",
    out: "o_proj",
    q_norm: "q_norm",
    k_norm: "k_norm",
};

/// The text encoder.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    rope_theta: f64,
    head_dim: i64,
    precision: Precision,
    device: Device,
}

/// The table of the tokens' embeddings, `[vocab_size, hidden_size]`.
#[derive(Debug)]
enum Embeddings {
    Resident(Tensor),
    /// In its file: a prompt uses few rows.
    File(FileRows),
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    attention: SelfAttention,
    post_norm: RmsNorm,
    feed_forward: FeedForward,
}

impl TextEncoder {
    /// Takes all layers but the last.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or surplus, or cannot be read.
    pub(crate) fn load(mut w: Weights<'_>, config: &TextEncoderConfig) -> Result<Self> {
        let precision = Precision::of(w.kind());
        let device = w.device();
        let used = config.used_layers();
        config.unused_prefixes().iter().for_each(|prefix| w.skip(prefix));
        const TABLE: &str = "embed_tokens.weight";
        let shape = [config.vocab_size, config.hidden_size];
        let embeddings = if w.is_streaming() {
            Embeddings::File(w.take_rows(TABLE, shape)?)
        } else {
            Embeddings::Resident(w.take(TABLE, &shape)?)
        };
        let layer = |i| Layer::load(&mut w, i, config, precision);
        let layers = (0..used).map(layer).collect::<Result<_>>()?;
        w.finish()?;
        let (rope_theta, head_dim) = (config.rope_theta, config.head_dim);
        Ok(Self { embeddings, layers, rope_theta, head_dim, precision, device })
    }

    /// The embeddings of a prompt's tokens: `[tokens, hidden_size]` in the residual kind; `ids` is
    /// `[tokens]`, `rotation` that of as many.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn forward(&self, ops: &Ops, ids: &Tensor, rotation: &Rotation) -> Result<Tensor> {
        let mut x = self.embeddings.of(ids)?.f_to_kind(self.precision.residual)?;
        let Some(first) = self.layers.first() else { return Ok(x) };
        // A layer's residual sum is computed together with the norm that begins the next.
        let mut normed = ops.norm(&x, unscaled(&first.input_norm), false)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let attended = layer.attention.forward(ops, &normed, rotation)?;
            let (sum, rows) =
                ops.residual_norm(&x, &attended, None, unscaled(&layer.post_norm), false)?;
            let fed = self.unguarded(layer.feed_forward.forward(ops, &rows)?)?;
            match self.layers.get(i + 1) {
                Some(next) => {
                    let begin = unscaled(&next.input_norm);
                    (x, normed) = ops.residual_norm(&sum, &fed, None, begin, false)?;
                }
                None => x = ops.residual(&sum, &fed, None)?,
            }
        }
        Ok(x)
    }

    /// Visits its linear maps.
    pub(crate) fn visit<'a>(&'a self, visitor: Visitor<'a, '_>) {
        for layer in &self.layers {
            layer.attention.visit(visitor);
            layer.feed_forward.visit(visitor);
        }
    }

    /// The feed-forward's output may exceed float16, so it leaves in the residual kind.
    fn unguarded(&self, x: Tensor) -> Result<Tensor> {
        let Precision { residual, guard, .. } = self.precision;
        if guard == 1.0 { Ok(x) } else { Ok(x.f_to_kind(residual)?.f_div_scalar(guard)?) }
    }

    /// The rotations of the first `tokens` places. Cosines and sines are rounded to the compute kind,
    /// as in the reference. They are computed on the CPU: on a GPU these operations would load their
    /// kernels, in 0.08 s.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn rotation(&self, tokens: i64) -> Result<Rotation> {
        let here = (Kind::Float, Device::Cpu);
        let exponents = Tensor::f_arange_start_step(0, self.head_dim, 2, here)?
            .f_div_scalar(self.head_dim as f64)?;
        let frequencies = Tensor::f_pow_scalar(self.rope_theta, &exponents)?.f_reciprocal()?;
        let positions = Tensor::f_arange(tokens, here)?;
        let angles = positions.f_unsqueeze(1)?.f_mul(&frequencies)?;
        let kind = self.precision.compute;
        let (cos, sin) = (angles.f_cos()?.f_to_kind(kind)?, angles.f_sin()?.f_to_kind(kind)?);
        let twice = |x: &Tensor| Tensor::f_cat(&[x, x], -1)?.f_unsqueeze(1);
        let cos_sin = Tensor::f_stack(&[&cos, &sin], -1)?.f_to_kind(Kind::Float)?;
        Ok(Rotation::Halves {
            cos_sin: cos_sin.f_to_device(self.device)?,
            cos: twice(&cos)?.f_to_device(self.device)?,
            sin: twice(&sin)?.f_to_device(self.device)?,
        })
    }
}

impl Embeddings {
    /// The embeddings of `ids` `[tokens]`, on their device.
    fn of(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Resident(table) => Ok(Tensor::f_embedding(table, ids, -1, false, false)?),
            Self::File(table) => {
                let numbers = Vec::<i64>::try_from(ids.f_to_device(Device::Cpu)?)?;
                Ok(table.rows(&numbers)?.f_to_device(ids.device())?)
            }
        }
    }
}

impl Layer {
    fn load(
        w: &mut Weights<'_>,
        index: i64,
        config: &TextEncoderConfig,
        precision: Precision,
    ) -> Result<Self> {
        let (width, eps) = (config.hidden_size, config.rms_norm_eps);
        let name = |part: &str| format!("layers.{index}.{part}");
        let heads = Heads {
            queries: config.num_attention_heads,
            keys: config.num_key_value_heads,
            width: config.head_dim,
        };
        let block = format!("layers.{index}");
        let block = (&*block, Pass::Encode);
        let names = ("self_attn", &NAMES);
        let mut attention = SelfAttention::load(w, block, names, (width, heads), eps)?;
        attention.causal = true;
        attention.short = true;
        let names = ("mlp", ["gate_proj", "up_proj", "down_proj"]);
        let sizes = (width, config.intermediate_size);
        let feed_forward = FeedForward::load(w, block, names, sizes, precision.guard)?;
        Ok(Self {
            input_norm: RmsNorm::load(w, &name("input_layernorm"), width, eps)?,
            attention,
            post_norm: RmsNorm::load(w, &name("post_attention_layernorm"), width, eps)?,
            feed_forward,
        })
    }
}

fn unscaled(norm: &RmsNorm) -> Scale<'_> {
    Scale { norm, factor: None }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{Checkpoint, Component};
    use crate::weights::{Loader, Target};

    /// As on a GPU: no token attends to the padding after it.
    #[test]
    fn padding_on_the_right_changes_nothing() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"));
        let fixture = fixture.join("../../tests/fixtures/reference/plain");
        let checkpoint = Checkpoint::open(&fixture).unwrap();
        let target = Target { device: Device::Cpu, kind: Kind::Float };
        let mut loader = Loader::new();
        let weights = loader.weights(&checkpoint, Component::TextEncoder, target).unwrap();
        let encoder = TextEncoder::load(weights, &checkpoint.text_encoder).unwrap();
        loader.run(&mut |_| {}).unwrap();
        let tokens: Vec<i64> = (1..=43).collect();
        let mut padded = tokens.clone();
        padded.resize(64, 0);
        let run = |tokens: &[i64]| {
            let rotation = encoder.rotation(tokens.len() as i64).unwrap();
            encoder.forward(&Ops::Eager, &Tensor::from_slice(tokens), &rotation).unwrap()
        };
        let want = run(&tokens);
        let got = run(&padded).narrow(0, 0, 43);
        let off = ((got - &want).norm() / want.norm()).double_value(&[]);
        assert!(off < 1e-6, "{off}");
        padded[0] = 5;
        let other = run(&padded).narrow(0, 0, 43);
        assert!((other - want).norm().double_value(&[]) > 1e-3, "the first token is seen");
    }
}
