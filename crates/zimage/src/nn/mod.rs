//! Layers shared by the networks, with the reference's order of rounding.

mod attention;
mod feed_forward;
mod file_linear;
mod linear;
mod side;

use tch::Kind;

pub(crate) use attention::{ProjectionNames, SelfAttention, attention_warning};
pub(crate) use feed_forward::FeedForward;
pub(crate) use file_linear::FileLinear;
pub(crate) use linear::Linear;
pub(crate) use side::{Kronecker, LinearMap, LowRank, Side, Up, Visitor};

/// The kinds of numbers in a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Precision {
    /// Kind of weights and of matrix products.
    pub(crate) compute: Kind,
    /// Kind of the residual stream.
    pub(crate) residual: Kind,
    /// The factor of the inputs of products that may overflow `compute`.
    ///
    /// In float16 the outputs of `to_out` and `w2` reach 9e5 (limit 65504), and the input of
    /// `w2` 6.6e4; a power of two below 1 costs no precision, and the next operation divides by it.
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
