//! The gated feed-forward.

use tch::Tensor;
use zimage_cuda::Rows;

use super::{Linear, Visitor};
use crate::error::Result;
use crate::ops::Ops;
use crate::weights::Weights;

/// `down(silu(gate(x)) · up(x))`.
#[derive(Debug)]
pub(crate) struct FeedForward {
    /// Gate and value in one product.
    pub(crate) gate_value: Linear,
    pub(crate) down: Linear,
    /// The factor of the value.
    guard: f64,
}

impl FeedForward {
    /// Takes `{name}.{part}.weight` of the gate, the value and the down projection.
    pub(crate) fn load(
        w: &mut Weights<'_>,
        name: &str,
        [gate, value, down]: [&str; 3],
        (width, inner): (i64, i64),
        guard: f64,
    ) -> Result<Self> {
        let name = |part: &str| format!("{name}.{part}");
        let gate_value = [(name(gate), inner), (name(value), inner)];
        Ok(Self {
            gate_value: Linear::load_joined(w, &gate_value, width)?,
            down: Linear::load(w, &name(down), inner, width)?,
            guard,
        })
    }

    /// Visits its linear maps.
    pub(crate) fn visit<'a>(&'a self, visitor: Visitor<'a, '_>) {
        visitor(&self.gate_value, 1.0);
        visitor(&self.down, self.guard);
    }

    /// `x` is `[tokens, width]`; the result, of the same shape, is scaled by the guard.
    pub(crate) fn forward(&self, ops: &Ops, x: &Rows) -> Result<Tensor> {
        let both = self.gate_value.forward_rows(x)?;
        let inner = ops.silu_gate(both, self.guard, self.down.takes_float8())?;
        self.down.forward_rows(&inner)
    }
}
