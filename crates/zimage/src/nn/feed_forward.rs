//! The gated feed-forward.

use tch::Tensor;
use zimage_checkpoint::BlockPart;
use zimage_cuda::Rows;

use super::{Linear, Visitor};
use crate::error::Result;
use crate::ops::Ops;
use crate::weights::Weights;
use crate::weights::streaming::{Pass, StreamedPart};

/// `down(silu(gate(x)) · up(x))`.
#[derive(Debug)]
pub(crate) struct FeedForward {
    /// Gate and value in one product.
    pub(crate) gate_value: Linear,
    pub(crate) down: Linear,
    /// The factor of the value.
    guard: f64,
    /// If gate and value are streamed, and if the last projection is.
    streamed: [Option<StreamedPart>; 2],
}

impl FeedForward {
    /// Takes `{block}.{group}.{name}.weight` of the gate, the value and the down projection.
    pub(crate) fn load(
        w: &mut Weights<'_>,
        (block, pass): (&str, Pass),
        (group, [gate, value, down]): (&str, [&str; 3]),
        (width, inner): (i64, i64),
        guard: f64,
    ) -> Result<Self> {
        let name = |of: &str| format!("{block}.{group}.{of}");
        let gate_value = [(name(gate), inner), (name(value), inner)];
        let (gate_value, streamed) = w.take_part((block, pass), BlockPart::GateValue, |w| {
            Linear::load_joined(w, &gate_value, width)
        })?;
        let (down, streamed_down) = w.take_part((block, pass), BlockPart::Down, |w| {
            Linear::load(w, &name(down), inner, width)
        })?;
        Ok(Self { gate_value, down, guard, streamed: [streamed, streamed_down] })
    }

    /// Visits its linear maps.
    pub(crate) fn visit<'a>(&'a self, visitor: Visitor<'a, '_>) {
        visitor(&self.gate_value, 1.0);
        visitor(&self.down, self.guard);
    }

    /// `x` is `[tokens, width]`; the result, of the same shape, is scaled by the guard.
    pub(crate) fn forward(&self, ops: &Ops, x: &Rows) -> Result<Tensor> {
        let [gate_value, down] = &self.streamed;
        let acquired = gate_value.as_ref().map(StreamedPart::acquire).transpose()?;
        let both = self.gate_value.forward_rows(x)?;
        drop(acquired);
        let inner = ops.silu_gate(both, self.guard, self.down.takes_float8())?;
        let _acquired = down.as_ref().map(StreamedPart::acquire).transpose()?;
        self.down.forward_rows(&inner)
    }
}
