//! Plain numbers: widening to float32, and rounding from it to the nearest, ties to even.

use super::{BATCH, Sink};
use crate::encoding::Number;

/// Expands plain numbers.
pub(super) fn expand(number: Number, bytes: &[u8], sink: &mut Sink<'_>) {
    let mut values = [0.0; BATCH];
    let each = number.bytes() as usize;
    for bytes in bytes.chunks(BATCH * each) {
        let values = &mut values[..bytes.len() / each];
        widen(number, bytes, values);
        sink.push(values);
    }
}

/// Widens as many numbers as `values` holds.
pub(crate) fn widen(number: Number, bytes: &[u8], values: &mut [f32]) {
    match number {
        Number::F32 => load(bytes, values, f32::from_le_bytes),
        Number::Bf16 => load(bytes, values, |b| from_bf16(u16::from_le_bytes(b))),
        Number::F16 => load(bytes, values, |b| from_f16(u16::from_le_bytes(b))),
        Number::F8E4m3 => load(bytes, values, |[b]| from_e4m3(b)),
        Number::F8E5m2 => load(bytes, values, |[b]| from_f16(u16::from(b) << 8)),
    }
}

fn load<const N: usize>(bytes: &[u8], values: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (bytes, to) in chunks.iter().zip(values) {
        *to = value(*bytes);
    }
}

pub(super) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Without a branch: the product moves the exponent, and makes normal numbers of subnormal ones.
pub(super) fn from_f16(bits: u16) -> f32 {
    let (sign, size) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff));
    let finite = f32::from_bits(size << 13) * f32::from_bits((127 + 112) << 23);
    let special = if size >= 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(finite.to_bits() | special | sign)
}

/// The same; there is no infinity, and one NaN of each sign.
pub(super) fn from_e4m3(bits: u8) -> f32 {
    let (sign, size) = (u32::from(bits & 0x80) << 24, u32::from(bits & 0x7f));
    let finite = f32::from_bits(size << 20) * f32::from_bits((127 + 120) << 23);
    let special = if size == 0x7f { 0x7ff0_0000 } else { 0 };
    f32::from_bits(finite.to_bits() | special | sign)
}

/// A power of two by its exponent alone; 0 stands for 0, as in comfy-kitchen.
pub(super) fn from_e8m0(bits: u8) -> f32 {
    f32::from_bits(u32::from(bits) << 23)
}

/// The nearest bfloat16.
pub(crate) fn rounded_to_bf16(value: f32) -> f32 {
    from_bf16(to_bf16(value))
}

/// Every NaN becomes the same one.
pub(super) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if value.is_nan() { 0x7fc0 } else { rounded }
}

/// Every NaN becomes the same one.
pub(super) fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, size) = ((bits >> 16) as u16 & 0x8000, bits & 0x7fff_ffff);
    // Below 2^-14 the sum with 0.5 shifts the bits to their place and rounds them.
    let subnormal = (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let normal = size.wrapping_add(0xc800_0fff + ((size >> 13) & 1)) >> 13;
    let finite = if size < 0x3880_0000 { subnormal } else { normal };
    let found = if size >= 0x4780_0000 { 0x7c00 } else { finite as u16 };
    if value.is_nan() { 0x7e00 } else { sign | found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float8_is_sign_exponent_and_mantissa() {
        for bits in 0..=u8::MAX {
            let sign = if bits >> 7 == 1 { -1.0 } else { 1.0 };
            let parts = |mantissa: u32, bias: i32| {
                let (exponent, fraction) =
                    ((bits & 0x7f) >> mantissa, bits & ((1 << mantissa) - 1));
                let fraction = f32::from(fraction) / (1 << mantissa) as f32;
                match exponent {
                    0 => sign * fraction * 2f32.powi(1 - bias),
                    exponent => sign * (1.0 + fraction) * 2f32.powi(i32::from(exponent) - bias),
                }
            };
            let found = from_e4m3(bits);
            assert!(found == parts(3, 7) || (found.is_nan() && bits & 0x7f == 0x7f), "{bits}");
            let (found, exponent) = (from_f16(u16::from(bits) << 8), (bits & 0x7f) >> 2);
            assert!(found == parts(2, 15) || (!found.is_finite() && exponent == 31), "{bits}");
        }
        assert_eq!(from_f16(0xfc00), f32::NEG_INFINITY);
        assert_eq!((from_e4m3(1), from_e4m3(0x7e)), (0.001953125, 448.0));
    }

    #[test]
    fn rounding_is_to_the_nearest_and_undoes_widening() {
        for bits in 0..=u16::MAX {
            let (wide, half) = (from_bf16(bits), from_f16(bits));
            assert!(to_bf16(wide) == bits || wide.is_nan());
            assert!(to_f16(half) == bits || half.is_nan());
        }
        assert!(from_f16(0x7c01).is_nan() && from_bf16(to_bf16(f32::NAN)).is_nan());
        assert!(from_f16(to_f16(f32::NAN)).is_nan());
        for (value, bits) in [
            (65519.996, 0x7bff),
            (65520.0, 0x7c00),
            (-1e9, 0xfc00),
            (2f32.powi(-25), 0),
            (1.5 * 2f32.powi(-25), 1),
            (-3.0 * 2f32.powi(-25), 0x8002),
            (1.0 + 2f32.powi(-11), 0x3c00),
            (1.0 + 3.0 * 2f32.powi(-11), 0x3c02),
        ] {
            assert_eq!(to_f16(value), bits, "{value}");
        }
        assert_eq!(to_bf16(1.0 + 2f32.powi(-8)), 0x3f80);
        assert_eq!(to_bf16(1.0 + 3.0 * 2f32.powi(-8)), 0x3f82);
        assert_eq!(to_bf16(f32::MAX), 0x7f80);
    }
}
