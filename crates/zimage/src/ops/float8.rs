//! Rows of float8 (e4m3) numbers with one scale a row, and their products.
//!
//! One scale for all of a tensor would drown small rows: activations of this model reach 6.6e4.

use tch::{Kind, Tensor};
use zimage_cuda::Float8Rows;

use crate::error::Result;

/// The largest float8 number.
const MAX: f64 = 448.0;

/// `x` `[rows, width]` as float8: each row's largest number becomes 448. The plain way.
pub(crate) fn rows(x: &Tensor) -> Result<Float8Rows> {
    let x = x.f_to_kind(Kind::Float)?;
    let scales = x.f_abs()?.f_amax([-1], true)?.f_clamp_min(1e-12)?.f_div_scalar(MAX)?;
    let values = x.f_div(&scales)?.f_clamp(-MAX, MAX)?.f_to_kind(Kind::Float8e4m3fn)?;
    Ok(Float8Rows { values, scales })
}

/// `x · weightᵀ` in bfloat16: `x` is `[rows, inputs]`, `weight` `[outputs, inputs]`.
///
/// Without a GPU the same numbers are multiplied in float32.
pub(crate) fn product(x: &Float8Rows, weight: &Float8Rows) -> Result<Tensor> {
    let none = None::<&Tensor>;
    let columns = weight.scales.f_transpose(0, 1)?;
    if x.values.device().is_cuda() {
        let weight = weight.values.f_transpose(0, 1)?;
        return Ok(x.values.f_internal_scaled_mm(
            &weight,
            &x.scales,
            &columns,
            none,
            none,
            Kind::BFloat16,
            true,
        )?);
    }
    let wide = |rows: &Float8Rows| rows.values.f_to_kind(Kind::Float)?.f_mul(&rows.scales);
    Ok(wide(x)?.f_linear(&wide(weight)?, none)?.f_to_kind(Kind::BFloat16)?)
}
