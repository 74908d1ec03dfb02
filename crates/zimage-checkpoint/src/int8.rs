//! Rows of 8-bit integers with one scale each, rotated where the width allows it (ConvRot): which
//! matrices become such rows, and what they are made of.
//!
//! The matrices are those of Comfy-Org's `z_image_turbo_int8_convrot.safetensors`: its 857 tensors are
//! the 453 of the model with scales and descriptions for 202 of them, and its 6.20 GB are those of 8
//! bits for all attention, feed-forward and modulation of the 34 blocks and 32 bits for the rest.

use crate::component::Component;
use crate::encoding::{Encoding, Number, Rotation, ScaleScope, ScaledFormat};
use crate::expand::{rotate, rounded_to_bf16, widen};
use crate::memory_plan::is_block_matrix;
use crate::stored_tensor::{Companion, StoredTensor};

/// The least scale, as comfy-kitchen has it.
const LEAST: f32 = 1e-30;
/// The groups of a transformer's blocks, and of a ControlNet's.
const GROUPS: [&str; 5] =
    ["layers", "noise_refiner", "context_refiner", "control_layers", "control_noise_refiner"];

/// The matrix of a block's modulation.
const MODULATION: &str = "adaLN_modulation.0.weight";

/// Whether a component's tensor becomes such rows where 8-bit integers are asked for: in the
/// transformer, matrices and modulations of its blocks. Embedders, the final layer, norms and biases
/// stay as they are.
pub fn becomes_int8(component: Component, name: &str) -> bool {
    let mut parts = name.splitn(3, '.');
    let (group, part) = (parts.next(), parts.nth(1));
    component == Component::Transformer
        && group.is_some_and(|group| GROUPS.contains(&group))
        && part.is_some_and(|part| part == MODULATION || is_block_matrix(part))
}

impl StoredTensor {
    /// The rows that a matrix of plain numbers becomes, without a place in a file; none of another
    /// tensor.
    pub fn as_int8(&self) -> Option<Self> {
        let (Encoding::Plain(number), &[rows, width]) = (self.encoding, &self.shape[..]) else {
            return None;
        };
        if !matches!(number, Number::F32 | Number::Bf16 | Number::F16) || rows == 0 || width == 0 {
            return None;
        }
        let format = ScaledFormat::Int8(ScaleScope::Row, rotation_of(width as u64));
        Some(Self {
            encoding: Encoding::Scaled(format),
            shape: self.shape.clone(),
            offset: 0,
            bytes: self.numbers(),
            first_row: 0,
            companions: vec![Companion { offset: 0, bytes: rows as u64 * 4 }],
        })
    }
}

/// The largest rotation of ComfyUI's that divides rows of `width` numbers.
pub fn rotation_of(width: u64) -> Option<Rotation> {
    let fits = |size: &&u64| width > 0 && width.is_multiple_of(**size);
    [256, 64, 16, 4].iter().find(fits).and_then(|size| Rotation::new(*size))
}

/// Makes integers and scales of rows of plain numbers, which are rounded to bfloat16 before: the model
/// was trained in it. Nothing is done, and false returned, when lengths do not fit.
#[must_use]
pub fn make_int8(
    (number, width): (Number, usize),
    bytes: &[u8],
    values: &mut [u8],
    scales: &mut [u8],
) -> bool {
    let each = number.bytes() as usize;
    let (scales, rest) = scales.as_chunks_mut::<4>();
    let fits = width > 0
        && rest.is_empty()
        && values.len() == scales.len() * width
        && bytes.len() == values.len() * each;
    if !fits {
        return false;
    }
    let rotation = rotation_of(width as u64);
    let (mut single, mut double) = (vec![0.0; width], vec![0.0; width]);
    let rows = bytes.chunks_exact(width * each).zip(values.chunks_exact_mut(width));
    for ((row, out), scale) in rows.zip(scales) {
        widen(number, row, &mut single);
        for (value, wide) in single.iter().zip(&mut double) {
            *wide = f64::from(rounded_to_bf16(*value));
        }
        *scale = int8_row(&mut double, rotation, out).to_le_bytes();
    }
    true
}

/// Writes `values` as integers to `out`, rotated if a rotation is given, and returns their scale: the
/// row's largest number becomes 127.
///
/// Source: comfy-kitchen 0.2.40, `quantize_int8_convrot_weight` and `quantize_int8_rowwise`, for
/// weights in float64. There the rotation's sums are exact, so that they do not depend on an order;
/// in float32 comfy-kitchen's own result depends on the matrix library.
pub(crate) fn int8_row(values: &mut [f64], rotation: Option<Rotation>, out: &mut [u8]) -> f32 {
    if let Some(rotation) = rotation {
        rotate(values, rotation.size());
        // The root of a power of 4 is a power of 2.
        let root = (rotation.size() as f64).sqrt();
        values.iter_mut().for_each(|value| *value /= root);
    }
    let largest = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let scale = (largest as f32 / 127.0).max(LEAST);
    for (value, byte) in values.iter().zip(out) {
        let integer = (value / f64::from(scale)).round_ties_even().clamp(-128.0, 127.0);
        *byte = (integer as i8).cast_unsigned();
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand::expand;

    /// Rows that comfy-kitchen and torch made: `contrib/lab/checkpoints/make_rows.py`.
    const ROWS: &[u8] = include_bytes!("../../../tests/fixtures/prepared/rows.safetensors");

    #[test]
    fn rows_are_those_of_comfy_kitchen_to_the_bit() {
        let rows = safetensors::SafeTensors::deserialize(ROWS).unwrap();
        for name in ["wide", "narrow", "smaller", "odd"] {
            let data = |suffix: &str| rows.tensor(&format!("{name}{suffix}")).unwrap().data();
            let width = rows.tensor(name).unwrap().shape()[1];
            let mut values = vec![0; data("").len() / 2];
            let mut scales = vec![0; values.len() / width * 4];
            assert!(make_int8((Number::Bf16, width), data(""), &mut values, &mut scales));
            assert_eq!(scales, data(".int8_scale"), "{name}");
            assert_eq!(values, data(".int8"), "{name}");
        }
    }

    /// The same numbers in other types: what bfloat16 cannot hold is rounded before.
    #[test]
    fn numbers_of_other_types_are_rounded_to_bfloat16_before() {
        let rows = [0.1f32, -1.003, 3.0, 1e-3, 65000.0, 7.0, -0.5, 2.0];
        let made = |number, bytes: &[u8]| {
            let (mut values, mut scales) = ([0; 8], [0; 8]);
            assert!(make_int8((number, 4), bytes, &mut values, &mut scales));
            (values, scales)
        };
        let brain: Vec<u8> = rows
            .iter()
            .flat_map(|v| ((v.to_bits() + 0x8000) >> 16).to_le_bytes()[..2].to_vec())
            .collect();
        let single: Vec<u8> = rows.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(made(Number::F32, &single), made(Number::Bf16, &brain));
        // 0.5, -3, 1, 2 twice.
        let half = [0x3800u16, 0xc200, 0x3c00, 0x4000, 0x3800, 0xc200, 0x3c00, 0x4000];
        let brain = [0x3f00u16, 0xc040, 0x3f80, 0x4000, 0x3f00, 0xc040, 0x3f80, 0x4000];
        let bytes = |bits: [u16; 8]| bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(made(Number::F16, &bytes(half)), made(Number::Bf16, &bytes(brain)));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let make = |width, bytes, values, scales| {
            let (bytes, mut values, mut scales) =
                (vec![0; bytes], vec![0; values], vec![0; scales]);
            make_int8((Number::Bf16, width), &bytes, &mut values, &mut scales)
        };
        assert!(make(4, 16, 8, 8));
        for (width, bytes, values, scales) in
            [(0, 0, 0, 0), (4, 15, 8, 8), (4, 16, 7, 8), (4, 16, 8, 7), (4, 16, 8, 4)]
        {
            assert!(!make(width, bytes, values, scales), "{width} {bytes} {values} {scales}");
        }
    }

    #[test]
    fn what_is_made_expands_to_what_it_was() {
        let stored = |encoding, shape: Vec<i64>| StoredTensor {
            encoding,
            bytes: 0,
            shape,
            offset: 0,
            first_row: 0,
            companions: Vec::new(),
        };
        let rows: Vec<f32> =
            (0..3 * 512).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 64.0).collect();
        let brain: Vec<u8> =
            rows.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect();
        let made = stored(Encoding::Plain(Number::Bf16), vec![3, 512]).as_int8().unwrap();
        let piece = made.piece().unwrap();
        let [values, scales, ..] = *piece.parts();
        let mut bytes = vec![0; piece.bytes()];
        let (low, high) = bytes.split_at_mut(scales.at);
        let fits = make_int8(
            (Number::Bf16, 512),
            &brain,
            &mut low[..values.bytes],
            &mut high[..scales.bytes],
        );
        assert!(fits);
        let mut out = vec![0; rows.len() * 4];
        assert!(expand(&piece, &bytes, Number::F32, &mut out));
        let (out, _) = out.as_chunks::<4>();
        let (mut off, mut all) = (0.0, 0.0);
        for (found, bits) in out.iter().zip(brain.as_chunks::<2>().0) {
            let wanted = f32::from_bits(u32::from(u16::from_le_bytes(*bits)) << 16);
            off += (f32::from_le_bytes(*found) - wanted).powi(2);
            all += wanted.powi(2);
        }
        let off = (off / all).sqrt();
        assert!(off < 0.01 && off > 1e-3, "{off}");
        for (encoding, shape) in [
            (Encoding::Plain(Number::Bf16), vec![4]),
            (Encoding::Plain(Number::F8E4m3), vec![4, 4]),
            (Encoding::Scaled(ScaledFormat::Nvfp4), vec![4, 16]),
        ] {
            assert!(stored(encoding, shape).as_int8().is_none());
        }
    }

    #[test]
    fn rows_of_zeros_have_a_scale_and_the_largest_number_is_the_largest_code() {
        let mut out = [1; 4];
        assert!(int8_row(&mut [0.0; 4], Rotation::new(4), &mut out) > 0.0);
        assert_eq!(out, [0; 4]);
        let mut out = [0; 3];
        let scale = int8_row(&mut [0.5, -3.0, 0.0], None, &mut out);
        assert_eq!((out[1].cast_signed(), out[2], scale), (-127, 0, 3.0 / 127.0));
    }

    #[test]
    fn rotations_divide_the_width() {
        for (width, size) in [(3840, 256), (10240, 256), (64, 64), (48, 16), (20, 4)] {
            assert_eq!(rotation_of(width).unwrap().size(), size);
        }
        assert!(rotation_of(170).is_none() && rotation_of(0).is_none());
    }

    #[test]
    fn what_comfyui_leaves_out_is_left_out() {
        for (name, becomes) in [
            ("layers.0.attention.to_q.weight", true),
            ("layers.29.attention.to_out.0.weight", true),
            ("layers.3.feed_forward.w2.weight", true),
            ("layers.3.adaLN_modulation.0.weight", true),
            ("noise_refiner.0.attention.to_q.weight", true),
            ("noise_refiner.1.adaLN_modulation.0.weight", true),
            ("context_refiner.1.feed_forward.w3.weight", true),
            ("layers.3.adaLN_modulation.0.bias", false),
            ("layers.3.attention.norm_q.weight", false),
            ("layers.3.ffn_norm1.weight", false),
            ("cap_embedder.1.weight", false),
            ("t_embedder.mlp.0.weight", false),
            ("all_x_embedder.2-1.weight", false),
            ("all_final_layer.2-1.linear.weight", false),
            ("all_final_layer.2-1.adaLN_modulation.1.weight", false),
        ] {
            assert_eq!(becomes_int8(Component::Transformer, name), becomes, "{name}");
            assert!(!becomes_int8(Component::Vae, name));
        }
        let text = "layers.0.self_attn.q_proj.weight";
        assert!(!becomes_int8(Component::TextEncoder, text));
    }
}
