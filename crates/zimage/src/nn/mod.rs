//! The layers that the networks share, in the reference's order of rounding.

mod attention;
mod feed_forward;
mod linear;

use tch::{Kind, Tensor};

pub(crate) use attention::{Heads, Names, SelfAttention, attention, remark as attention_remark};
pub(crate) use feed_forward::FeedForward;
pub(crate) use linear::Linear;

use crate::error::Result;
use crate::weights::Weights;

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
}

/// Root-mean-square norm over the last dimension, with a learnt weight; `ops` computes it.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `[width]`.
    pub(crate) weight: Tensor,
    /// Added to the mean square.
    pub(crate) eps: f64,
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
}
