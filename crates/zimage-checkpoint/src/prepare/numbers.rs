//! Rows of float8 numbers with one scale each, made of bfloat16 rows.

/// The largest float8 (e4m3) number.
const FLOAT8_MAX: f32 = 448.0;
/// The least scale of a row of zeros, before the division.
const FLOAT8_LEAST: f32 = 1e-12;

/// Writes `values` as float8 to `out`, and returns their scale: the row's largest number becomes 448.
///
/// The same numbers, to the bit, as `zimage`'s `ops/float8.rs`: the scale is a product with 1/448, as
/// libtorch divides by a constant on a GPU.
pub(super) fn float8_row(values: &[f32], out: &mut [u8]) -> f32 {
    let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let scale = largest.max(FLOAT8_LEAST) * (1.0 / FLOAT8_MAX);
    for (value, byte) in values.iter().zip(out) {
        *byte = to_e4m3((value / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX));
    }
    scale
}

/// Rounds a number of at most 448 to the nearest float8, ties to even.
fn to_e4m3(value: f32) -> u8 {
    let (sign, size) = ((value.to_bits() >> 24) as u8 & 0x80, value.to_bits() & 0x7fff_ffff);
    // Below 2^-6 the sum with 2^14 shifts the bits to their place and rounds them.
    let subnormal = (f32::from_bits(size) + 16384.0).to_bits().wrapping_sub(16384f32.to_bits());
    let rebiased = size.wrapping_sub(120 << 23);
    let normal = rebiased.wrapping_add(0x7_ffff + ((size >> 20) & 1)) >> 20;
    let finite = if size < 121 << 23 { subnormal } else { normal };
    if value.is_nan() { 0x7f } else { sign | finite as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Number;
    use crate::expand::widen;

    fn from_e4m3(byte: u8) -> f32 {
        let mut value = [0.0];
        widen(Number::F8E4m3, &[byte], &mut value);
        value[0]
    }

    #[test]
    fn float8_is_the_nearest_and_ties_are_even() {
        let codes: Vec<u8> = (0..=0x7e).collect();
        for &code in &codes {
            assert_eq!(to_e4m3(from_e4m3(code)), code);
            assert_eq!(to_e4m3(-from_e4m3(code)), code | 0x80);
        }
        for pair in codes.windows(2) {
            let (low, high) = (from_e4m3(pair[0]), from_e4m3(pair[1]));
            let middle = (low + high) / 2.0;
            let even = if pair[0] % 2 == 0 { pair[0] } else { pair[1] };
            assert_eq!(to_e4m3(middle), even, "{middle}");
            assert_eq!(to_e4m3(f32::from_bits(middle.to_bits() - 1)), pair[0]);
            assert_eq!(to_e4m3(f32::from_bits(middle.to_bits() + 1)), pair[1]);
        }
        assert_eq!(to_e4m3(f32::NAN), 0x7f);
    }

    /// Rows that comfy-kitchen and torch made: `contrib/lab/checkpoints/make_rows.py`.
    const ROWS: &[u8] = include_bytes!("../../../../tests/fixtures/prepared/rows.safetensors");

    #[test]
    fn rows_are_those_of_torch_to_the_bit() {
        let rows = safetensors::SafeTensors::deserialize(ROWS).unwrap();
        for name in ["wide", "narrow", "smaller", "odd"] {
            let data = |suffix: &str| rows.tensor(&format!("{name}{suffix}")).unwrap().data();
            let width = rows.tensor(name).unwrap().shape()[1];
            let mut values = vec![0.0; data("").len() / 2];
            widen(Number::Bf16, data(""), &mut values);
            let mut out = vec![0; width];
            for (number, values) in values.chunks(width).enumerate() {
                let expected = |suffix: &str, each: usize| &data(suffix)[number * each..][..each];
                let scale = float8_row(values, &mut out);
                assert_eq!(scale.to_le_bytes(), expected(".float8_scale", 4), "{name} {number}");
                assert_eq!(out, expected(".float8", width), "{name} {number}");
            }
        }
    }

    #[test]
    fn rows_of_zeros_have_a_scale() {
        let mut out = [1; 4];
        assert!(float8_row(&[0.0; 4], &mut out) > 0.0);
        assert_eq!(out, [0; 4]);
    }

    #[test]
    fn the_largest_number_is_the_largest_code() {
        let mut out = [0; 3];
        let scale = float8_row(&[0.5, -3.0, 0.0], &mut out);
        assert_eq!((out[1], out[2]), (0xfe, 0));
        assert!((scale * 448.0 - 3.0).abs() < 1e-6);
    }
}
