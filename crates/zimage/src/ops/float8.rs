//! Rows of float8 (e4m3) numbers with one scale a row, and their products.
//!
//! One scale for a whole tensor would lose small rows: activations of this model reach 6.6e4.

use tch::{Kind, Tensor};
use zimage_cuda::Float8Rows;

use crate::error::Result;

/// The largest float8 number.
const MAX: f64 = 448.0;

/// `x` `[rows, width]` as float8: each row's largest number becomes 448. Eager.
///
/// The scale is a product with 1/448, which is what libtorch makes of a division by a constant on a GPU
/// and not on a CPU: both find the numbers that `zimg prepare` writes.
pub(crate) fn rows(x: &Tensor) -> Result<Float8Rows> {
    let x = x.f_to_kind(Kind::Float)?;
    let scales = x.f_abs()?.f_amax([-1], true)?.f_clamp_min(1e-12)?.f_mul_scalar(1.0 / MAX)?;
    let values = x.f_div(&scales)?.f_clamp(-MAX, MAX)?.f_to_kind(Kind::Float8e4m3fn)?;
    Ok(Float8Rows { values, scales })
}

/// The same of a large matrix, some rows at a time: a row's numbers depend on it alone, and the float32
/// numbers in between take tens of megabytes instead of four times the matrix.
pub(crate) fn rows_of_matrix(matrix: &Tensor) -> Result<Float8Rows> {
    /// 32 MiB in float32 for each tensor in between.
    const NUMBERS: i64 = 8 << 20;
    let (outputs, inputs) = matrix.size2()?;
    let device = matrix.device();
    let values = Tensor::f_empty([outputs, inputs], (Kind::Float8e4m3fn, device))?;
    let scales = Tensor::f_empty([outputs, 1], (Kind::Float, device))?;
    let most = (NUMBERS / inputs.max(1)).max(1);
    let mut first = 0;
    while first < outputs {
        let count = most.min(outputs - first);
        let part = rows(&matrix.f_narrow(0, first, count)?)?;
        values.f_narrow(0, first, count)?.f_copy_(&part.values)?;
        scales.f_narrow(0, first, count)?.f_copy_(&part.scales)?;
        first += count;
    }
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

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_matrix_in_parts_has_the_same_bits() {
        let x = Tensor::randn([3000, 8192], (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
        let (whole, parts) = (rows(&x).unwrap(), rows_of_matrix(&x).unwrap());
        assert_eq!(whole.values.to_kind(Kind::Float), parts.values.to_kind(Kind::Float));
        assert_eq!(whole.scales, parts.scales);
    }

    #[test]
    fn each_row_uses_all_of_float8() {
        let x = Tensor::randn([5, 64], (Kind::Float, Device::Cpu));
        let sizes = Tensor::from_slice(&[1e-6f32, 1e-2, 1.0, 6.6e4, 0.0]).unsqueeze(1);
        let x = x * sizes;
        let found = rows(&x).unwrap();
        let values = found.values.to_kind(Kind::Float);
        let largest = values.abs().amax([-1], false);
        assert_eq!(Vec::<f32>::try_from(largest).unwrap(), [448.0, 448.0, 448.0, 448.0, 0.0]);
        // Four bits of precision, down to the smallest normal float8, a 2^-6 of 448 · scale.
        let floor = x.abs().amax([-1], true) * (2f64.powi(-6) / 448.0);
        let off =
            ((values * &found.scales - &x).abs() / x.abs().maximum(&floor).clamp_min(1e-30)).max();
        assert!(off.double_value(&[]) < 0.0626, "{off:?}");
    }

    #[test]
    fn a_product_is_that_of_the_rows() {
        let (x, w) = (
            Tensor::randn([7, 96], (Kind::Float, Device::Cpu)) * 300.0,
            Tensor::randn([11, 96], (Kind::Float, Device::Cpu)),
        );
        let found = product(&rows(&x).unwrap(), &rows(&w).unwrap()).unwrap();
        assert_eq!((found.size(), found.kind()), (vec![7, 11], Kind::BFloat16));
        let wanted = x.matmul(&w.transpose(0, 1));
        let off = ((found.to_kind(Kind::Float) - &wanted).norm() / wanted.norm()).double_value(&[]);
        assert!(off < 0.05, "{off}");
        assert!(off > 1e-3, "these are not float8's products: {off}");
    }
}
