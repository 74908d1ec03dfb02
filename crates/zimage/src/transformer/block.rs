//! One transformer block: attention and gated feed-forward between sandwich norms.
//!
//! Source: diffusers `ZImageTransformerBlock`, `ZSingleStreamAttnProcessor`, `FeedForward`.

use tch::Tensor;

use super::rope::Rotation;
use crate::checkpoint::{TransformerConfig, Weights};
use crate::error::Result;
use crate::nn::{Linear, Precision, RmsNorm, attention};

/// The norms of queries and keys have an epsilon of their own in the reference.
const QK_NORM_EPS: f64 = 1e-5;

/// A block; `modulation` is absent in the context refiner.
#[derive(Debug)]
pub(super) struct Block {
    attention_norm1: RmsNorm,
    attention_norm2: RmsNorm,
    ffn_norm1: RmsNorm,
    ffn_norm2: RmsNorm,
    attention: SelfAttention,
    feed_forward: FeedForward,
    modulation: Option<Linear>,
}

#[derive(Debug)]
struct SelfAttention {
    qkv: Linear,
    out: Linear,
    norm_q: RmsNorm,
    norm_k: RmsNorm,
    heads: i64,
    precision: Precision,
}

#[derive(Debug)]
struct FeedForward {
    /// `w1` and `w3`: the gate and the value.
    gate_value: Linear,
    w2: Linear,
    precision: Precision,
}

/// What time does to a block: each `[1, dim]`.
struct Modulation {
    attention_scale: Tensor,
    attention_gate: Tensor,
    ffn_scale: Tensor,
    ffn_gate: Tensor,
}

impl Block {
    /// Takes `{name}.*`; with a time width the block is modulated.
    pub(super) fn load(
        w: &mut Weights<'_>,
        name: &str,
        config: &TransformerConfig,
        time_width: Option<i64>,
        precision: Precision,
    ) -> Result<Self> {
        let dim = config.dim;
        let norm = |w: &mut Weights<'_>, part: &str| {
            RmsNorm::load(w, &format!("{name}.{part}"), dim, config.norm_eps)
        };
        Ok(Self {
            attention_norm1: norm(w, "attention_norm1")?,
            attention_norm2: norm(w, "attention_norm2")?.for_scaled_input(precision.guard),
            ffn_norm1: norm(w, "ffn_norm1")?,
            ffn_norm2: norm(w, "ffn_norm2")?.for_scaled_input(precision.guard),
            attention: SelfAttention::load(w, &format!("{name}.attention"), config, precision)?,
            feed_forward: FeedForward::load(w, &format!("{name}.feed_forward"), dim, precision)?,
            modulation: time_width
                .map(|time_width| {
                    let name = format!("{name}.adaLN_modulation.0");
                    Linear::load_with_bias(w, &name, time_width, 4 * dim)
                })
                .transpose()?,
        })
    }

    /// `x` is `[tokens, dim]`, so is the result; `time` `[1, time width]` for modulated blocks.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        time: Option<&Tensor>,
    ) -> Result<Tensor> {
        let modulation = match (&self.modulation, time) {
            (Some(linear), Some(time)) => Some(Modulation::at(linear, time)?),
            _ => None,
        };
        let m = modulation.as_ref();
        let attended = self.attention.forward(
            &times(self.attention_norm1.forward(x)?, m.map(|m| &m.attention_scale))?,
            rotation,
        )?;
        let attended = self.attention_norm2.forward(&attended)?;
        let x = x.f_add(&times(attended, m.map(|m| &m.attention_gate))?)?;
        let fed = self
            .feed_forward
            .forward(&times(self.ffn_norm1.forward(&x)?, m.map(|m| &m.ffn_scale))?)?;
        let fed = self.ffn_norm2.forward(&fed)?;
        Ok(x.f_add(&times(fed, m.map(|m| &m.ffn_gate))?)?)
    }
}

/// `x · factor`, or `x` without one.
fn times(x: Tensor, factor: Option<&Tensor>) -> Result<Tensor> {
    match factor {
        Some(factor) => Ok(x.f_mul(factor)?),
        None => Ok(x),
    }
}

impl Modulation {
    fn at(linear: &Linear, time: &Tensor) -> Result<Self> {
        let all = linear.forward(time)?.f_unflatten(1, [4, -1])?;
        Ok(Self {
            attention_scale: all.f_select(1, 0)?.f_add_scalar(1.0)?,
            attention_gate: all.f_select(1, 1)?.f_tanh()?,
            ffn_scale: all.f_select(1, 2)?.f_add_scalar(1.0)?,
            ffn_gate: all.f_select(1, 3)?.f_tanh()?,
        })
    }
}

impl SelfAttention {
    fn load(
        w: &mut Weights<'_>,
        name: &str,
        config: &TransformerConfig,
        precision: Precision,
    ) -> Result<Self> {
        let (dim, heads) = (config.dim, config.n_heads);
        let qkv = ["to_q", "to_k", "to_v"].map(|part| format!("{name}.{part}"));
        let norm = |w: &mut Weights<'_>, part: &str| {
            RmsNorm::load(w, &format!("{name}.{part}"), dim / heads, QK_NORM_EPS)
        };
        Ok(Self {
            qkv: Linear::load_joined(w, &qkv, dim, dim)?,
            out: Linear::load(w, &format!("{name}.to_out.0"), dim, dim)?,
            norm_q: norm(w, "norm_q")?,
            norm_k: norm(w, "norm_k")?,
            heads,
            precision,
        })
    }

    /// `x` is `[tokens, dim]`; the result, of the same shape, is scaled by the guard.
    fn forward(&self, x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
        let qkv = self.qkv.forward(x)?.f_unflatten(1, [3, self.heads, -1])?;
        let q = rotation.apply(&self.norm_q.forward(&qkv.f_select(1, 0)?)?)?;
        let k = rotation.apply(&self.norm_k.forward(&qkv.f_select(1, 1)?)?)?;
        let v = qkv.f_select(1, 2)?;
        let out =
            attention(&q.f_transpose(0, 1)?, &k.f_transpose(0, 1)?, &v.f_transpose(0, 1)?, false)?;
        let joined = out.f_transpose(0, 1)?.f_flatten(1, 2)?;
        self.out.forward(&self.precision.guarded(joined)?)
    }
}

impl FeedForward {
    fn load(w: &mut Weights<'_>, name: &str, dim: i64, precision: Precision) -> Result<Self> {
        // The reference's `int(dim / 3 * 8)`.
        let inner = (dim as f64 / 3.0 * 8.0) as i64;
        let gate_value = ["w1", "w3"].map(|part| format!("{name}.{part}"));
        Ok(Self {
            gate_value: Linear::load_joined(w, &gate_value, dim, inner)?,
            w2: Linear::load(w, &format!("{name}.w2"), inner, dim)?,
            precision,
        })
    }

    /// `x` is `[tokens, dim]`; the result, of the same shape, is scaled by the guard.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let both = self.gate_value.forward(x)?.f_unflatten(1, [2, -1])?;
        let (gate, value) = (both.f_select(1, 0)?, both.f_select(1, 1)?);
        self.w2.forward(&gate.f_silu()?.f_mul(&self.precision.guarded(value)?)?)
    }
}
