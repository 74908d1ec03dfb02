//! The gated linear unit.

use tch::Tensor;
use zimage_cuda::{Kernels, Rows};

use super::{Ops, float8};
use crate::error::Result;

impl Ops {
    /// `silu(gate) · guard · value`, `[rows, inner]`, of `[rows, 2 · inner]`: gates, then values.
    pub(crate) fn silu_gate(&self, both: Tensor, guard: f64, float8: bool) -> Result<Rows> {
        let fits = Kernels::gates_rows_of(both.size()[1] / 2) && guard == 1.0;
        match self {
            Self::Fused(kernels) if fits && float8 => {
                Ok(Rows::Float8(kernels.silu_gate_float8(&both)?))
            }
            Self::Fused(kernels) if fits => Ok(Rows::Dense(kernels.silu_gate(&both)?)),
            _ => {
                let out = eager(&both, guard)?;
                Ok(if float8 { Rows::Float8(float8::rows(&out)?) } else { Rows::Dense(out) })
            }
        }
    }
}

/// The eager gate.
fn eager(both: &Tensor, guard: f64) -> Result<Tensor> {
    let both = both.f_unflatten(1, [2, -1])?;
    let (gate, mut value) = (both.f_select(1, 0)?, both.f_select(1, 1)?);
    if guard != 1.0 {
        value = value.f_mul_scalar(guard)?;
    }
    Ok(gate.f_silu()?.f_mul(&value)?)
}
