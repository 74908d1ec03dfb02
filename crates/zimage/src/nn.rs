//! The few layers that all three networks share, in the reference's order of rounding.

use tch::{Kind, Tensor};

use crate::checkpoint::Weights;
use crate::error::Result;

/// How numbers are kept while a network runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Precision {
    /// Kind of weights and of matrix products.
    pub(crate) compute: Kind,
    /// Kind of the residual stream.
    pub(crate) residual: Kind,
    /// What the inputs of products that may overflow `compute` are multiplied with.
    ///
    /// In float16 the outputs of `to_out` and `w2` reach 9e5 (limit 65504), and the input of
    /// `w2` 6.6e4; a power of two below 1 costs no precision, and what follows divides it out.
    pub(crate) guard: f64,
}

impl Precision {
    /// The precision of a network whose weights are `kind`.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Half => Self { compute: kind, residual: Kind::Float, guard: 1.0 / 128.0 },
            _ => Self { compute: kind, residual: kind, guard: 1.0 },
        }
    }

    /// `x` scaled by the guard, if there is one.
    pub(crate) fn guarded(&self, x: Tensor) -> Result<Tensor> {
        if self.guard == 1.0 { Ok(x) } else { Ok(x.f_mul_scalar(self.guard)?) }
    }
}

/// `y = x·Wᵀ + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Takes `{name}.weight` of shape `[outputs, inputs]`.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        Ok(Self { weight: w.take(&format!("{name}.weight"), &[outputs, inputs])?, bias: None })
    }

    /// Takes `{name}.weight` and `{name}.bias` of shape `[outputs]`.
    pub(crate) fn load_with_bias(
        w: &mut Weights<'_>,
        name: &str,
        inputs: i64,
        outputs: i64,
    ) -> Result<Self> {
        let mut linear = Self::load(w, name, inputs, outputs)?;
        linear.bias = Some(w.take(&format!("{name}.bias"), &[outputs])?);
        Ok(linear)
    }

    /// Takes layers of the same input as one, whose outputs are theirs side by side.
    pub(crate) fn load_joined(
        w: &mut Weights<'_>,
        names: &[String],
        inputs: i64,
        outputs: i64,
    ) -> Result<Self> {
        let layers = names.iter().map(|name| Self::load(w, name, inputs, outputs));
        let weights = layers.map(|layer| Ok(layer?.weight)).collect::<Result<Vec<_>>>()?;
        Ok(Self { weight: Tensor::f_cat(&weights, 0)?, bias: None })
    }

    /// `x` is `[…, inputs]`, the result `[…, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// Root-mean-square norm over the last dimension, with a learnt scale.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Takes `{name}.weight` of shape `[width]`.
    pub(crate) fn load(w: &mut Weights<'_>, name: &str, width: i64, eps: f64) -> Result<Self> {
        Ok(Self { weight: w.take(&format!("{name}.weight"), &[width])?, eps })
    }

    /// For inputs that were multiplied with `factor`: the result is as if they had not been.
    pub(crate) fn for_scaled_input(mut self, factor: f64) -> Self {
        self.eps *= factor * factor;
        self
    }

    /// Statistics in float32, then the weight's kind, then the scale: as diffusers and
    /// transformers do it, so that bfloat16 rounds where theirs rounds.
    ///
    /// On a GPU libtorch's one kernel does it, where it can, instead of eight; it rounds once
    /// instead of twice, which `docs/parity.md` holds against the noise floor.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cuda() && x.f_kind()? == self.weight.f_kind()? {
            let width = self.weight.size();
            return Ok(x.f_internal_fused_rms_norm(width, Some(&self.weight), self.eps)?.0);
        }
        let x = x.f_to_kind(Kind::Float)?;
        let mean = x.f_square()?.f_mean_dim(&[-1i64][..], true, Kind::Float)?;
        let normed = x.f_mul(&mean.f_add_scalar(self.eps)?.f_rsqrt()?)?;
        Ok(normed.f_to_kind(self.weight.f_kind()?)?.f_mul(&self.weight)?)
    }
}

/// Attention over all positions: `q`, `k`, `v` are `[heads, tokens, width]`, so is the result.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let [q, k, v] = [q.f_unsqueeze(0)?, k.f_unsqueeze(0)?, v.f_unsqueeze(0)?];
    let out = Tensor::f_scaled_dot_product_attention(
        &q,
        &k,
        &v,
        None::<&Tensor>,
        0.0,
        causal,
        None,
        false,
    )?;
    Ok(out.f_squeeze_dim(0)?)
}
