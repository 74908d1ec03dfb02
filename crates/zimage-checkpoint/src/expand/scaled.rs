//! ComfyUI's scaled formats, in the order of comfy-kitchen 0.2.40's eager `dequantize`.

use super::numbers::{from_e4m3, from_e8m0, widen};
use super::piece::Piece;
use super::rotation::rotate;
use super::{BATCH, Sink};
use crate::encoding::{Number, Rotation, ScaledFormat};

/// The values of 4-bit floating point (E2M1).
const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Added to a small number and taken away again, it rounds to the nearest integer, ties to even, without
/// the call that this takes on processors of the baseline.
const ROUND: f32 = 12_582_912.0;

/// Expands whole rows.
pub(super) fn expand(format: ScaledFormat, piece: &Piece, bytes: &[u8], sink: &mut Sink<'_>) {
    if piece.width == 0 {
        return;
    }
    let part = |number| piece.part(number, bytes);
    let row_bytes = part(0).len() / piece.rows.max(1);
    let rows = part(0).chunks_exact(row_bytes.max(1)).enumerate();
    match format {
        ScaledFormat::Float8(number, _) => rows.for_each(|(row, bytes)| {
            let scale = scale_of(part(1), row);
            batches(bytes, sink, |bytes, values| {
                widen(number, bytes, values);
                values.iter_mut().for_each(|value| *value *= scale);
            });
        }),
        ScaledFormat::Int8(_, None) => rows.for_each(|(row, bytes)| {
            let scale = scale_of(part(1), row);
            batches(bytes, sink, |bytes, values| {
                for (byte, value) in bytes.iter().zip(values) {
                    *value = f32::from(byte.cast_signed()) * scale;
                }
            });
        }),
        ScaledFormat::Int8(_, Some(rotation)) => {
            let mut line = vec![0; piece.width];
            for (row, bytes) in rows {
                for (byte, integer) in bytes.iter().zip(&mut line) {
                    *integer = i32::from(byte.cast_signed());
                }
                rotated(&mut line, rotation, scale_of(part(1), row), sink);
            }
        }
        ScaledFormat::Int4(rotation) => {
            let mut line = vec![0; piece.width];
            for (row, bytes) in rows {
                for (byte, pair) in bytes.iter().zip(line.as_chunks_mut::<2>().0) {
                    let signed = byte.cast_signed();
                    *pair = [i32::from(signed << 4 >> 4), i32::from(signed >> 4)];
                }
                rotated(&mut line, rotation, scale_of(part(1), row), sink);
            }
        }
        ScaledFormat::Grouped { bits, group, scales, codebook, rotation } => {
            let mut line = vec![0; piece.width];
            let group = group as usize;
            let mut relative = vec![0.0; piece.width / group];
            let mut levels = [0.0; 64];
            let zero = f32::from(1u8 << (bits - 1));
            for (code, level) in (0u8..).zip(&mut levels) {
                *level = f32::from(code) - zero;
            }
            if codebook {
                widen(Number::F32, part(3), &mut levels[..16]);
            }
            let each = relative.len() * scales.bytes() as usize;
            for (row, bytes) in rows {
                widen(scales, &part(1)[row * each..][..each], &mut relative);
                codes(bits, bytes, &mut line);
                for (codes, scale) in line.chunks_exact_mut(group).zip(&relative) {
                    for code in codes {
                        let value = (levels[*code as usize % 64] * scale).clamp(-127.0, 127.0);
                        *code = (value + ROUND - ROUND) as i32;
                    }
                }
                rotated(&mut line, rotation, scale_of(part(2), row), sink);
            }
        }
        ScaledFormat::Mxfp8 => {
            let mut values = [0.0; 32];
            for (row, bytes) in rows {
                for (block, bytes) in bytes.as_chunks::<32>().0.iter().enumerate() {
                    let scale =
                        from_e8m0(part(1)[tiled(piece.first + row, block, piece.width / 32)]);
                    widen(Number::F8E4m3, bytes, &mut values);
                    values.iter_mut().for_each(|value| *value *= scale);
                    sink.push(&values);
                }
            }
        }
        ScaledFormat::Nvfp4 => {
            let mut values = [0.0; 16];
            let all = scale_of(part(2), 0);
            for (row, bytes) in rows {
                for (block, bytes) in bytes.as_chunks::<8>().0.iter().enumerate() {
                    let place = tiled(piece.first + row, block, piece.width / 16);
                    let scale = all * from_e4m3(part(1)[place]);
                    for (byte, pair) in bytes.iter().zip(values.as_chunks_mut::<2>().0) {
                        *pair = [byte >> 4, byte & 15].map(|code| E2M1[usize::from(code)] * scale);
                    }
                    sink.push(&values);
                }
            }
        }
    }
}

/// The place of a block's scale: tiles of 128 rows and 4 columns, in each 32 rows of four quarters
/// side by side, as cuBLAS reads them (`to_blocked` of comfy-kitchen).
fn tiled(row: usize, block: usize, blocks: usize) -> usize {
    let tile = row / 128 * blocks.div_ceil(4) + block / 4;
    tile * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4
}

/// The scale of `row`, or the one of the tensor.
fn scale_of(scales: &[u8], row: usize) -> f32 {
    let (scales, _) = scales.as_chunks::<4>();
    let scale = if scales.len() == 1 { scales.first() } else { scales.get(row) };
    scale.map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

/// Fills and pushes the numbers of a row of one byte each.
fn batches(bytes: &[u8], sink: &mut Sink<'_>, fill: impl Fn(&[u8], &mut [f32])) {
    let mut values = [0.0; BATCH];
    for bytes in bytes.chunks(BATCH) {
        let values = &mut values[..bytes.len()];
        fill(bytes, values);
        sink.push(values);
    }
}

/// Rotates a row of integers back, and pushes it times its scale.
///
/// The sums are exact, so one product is the only rounding. comfy-kitchen rounds each product and
/// each sum of its matrix product, in an order of the library's; in float64 it finds these numbers.
fn rotated(line: &mut [i32], rotation: Rotation, scale: f32, sink: &mut Sink<'_>) {
    rotate(line, rotation.size());
    // The root of a power of 4 is a power of 2.
    let scale = scale / (rotation.size() as f32).sqrt();
    let mut values = [0.0; BATCH];
    for integers in line.chunks(BATCH) {
        let values = &mut values[..integers.len()];
        for (integer, value) in integers.iter().zip(&mut *values) {
            *value = *integer as f32 * scale;
        }
        sink.push(values);
    }
}

/// The codes of a row: the low 4 bits of all, two a byte, then for codes of 6 bits their high 2 bits,
/// four a byte.
fn codes(bits: u8, bytes: &[u8], line: &mut [i32]) {
    let (low, high) = bytes.split_at(line.len() / 2);
    for (byte, pair) in low.iter().zip(line.as_chunks_mut::<2>().0) {
        *pair = [i32::from(byte & 15), i32::from(byte >> 4)];
    }
    if bits == 6 {
        for (byte, four) in high.iter().zip(line.as_chunks_mut::<4>().0) {
            for (shift, code) in (0..).step_by(2).zip(four) {
                *code |= i32::from((byte >> shift) & 3) << 4;
            }
        }
    }
}
