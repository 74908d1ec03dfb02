//! GGML's blocks. Each number is computed in the order of `gguf.quants` (package gguf 0.19.0), which is
//! that of ggml's `dequantize_row_*`.

use super::Sink;
use super::numbers::from_f16;
use crate::encoding::BlockType;

/// The values of the 4-bit codes of IQ4_NL and IQ4_XS (`kvalues_iq4nl` of ggml).
const IQ4: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

/// Expands whole blocks.
pub(super) fn expand(block: BlockType, bytes: &[u8], sink: &mut Sink<'_>) {
    match block {
        BlockType::Q4_0 => each(bytes, sink, q4_0),
        BlockType::Q4_1 => each(bytes, sink, q4_1),
        BlockType::Q5_0 => each(bytes, sink, q5_0),
        BlockType::Q5_1 => each(bytes, sink, q5_1),
        BlockType::Q8_0 => each(bytes, sink, q8_0),
        BlockType::Q2K => each(bytes, sink, q2_k),
        BlockType::Q3K => each(bytes, sink, q3_k),
        BlockType::Q4K => each(bytes, sink, q4_k),
        BlockType::Q5K => each(bytes, sink, q5_k),
        BlockType::Q6K => each(bytes, sink, q6_k),
        BlockType::Iq4Nl => each(bytes, sink, iq4_nl),
        BlockType::Iq4Xs => each(bytes, sink, iq4_xs),
    }
}

fn each<const BYTES: usize, const NUMBERS: usize>(
    bytes: &[u8],
    sink: &mut Sink<'_>,
    expand: impl Fn(&[u8; BYTES], &mut [f32; NUMBERS]),
) {
    let mut values = [0.0; NUMBERS];
    for block in bytes.as_chunks::<BYTES>().0 {
        expand(block, &mut values);
        sink.push(&values);
    }
}

/// The half-precision number at `at`.
fn half(block: &[u8], at: usize) -> f32 {
    from_f16(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Both halves of `packed` as `value` of code and place, the low halves first.
fn nibbles(packed: &[u8], values: &mut [f32], value: impl Fn(u8, usize) -> f32) {
    let count = packed.len();
    let (low, high) = values.split_at_mut(count);
    for (place, ((byte, low), high)) in packed.iter().zip(low).zip(high).enumerate() {
        *low = value(byte & 15, place);
        *high = value(byte >> 4, count + place);
    }
}

fn q4_0(block: &[u8; 18], values: &mut [f32; 32]) {
    let d = half(block, 0);
    nibbles(&block[2..], values, |code, _| d * (f32::from(code) - 8.0));
}

fn q4_1(block: &[u8; 20], values: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    nibbles(&block[4..], values, |code, _| d * f32::from(code) + m);
}

/// The fifth bits of 32 numbers.
fn fifth(block: &[u8], at: usize) -> impl Fn(usize) -> u8 {
    let bits = u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    move |place| ((bits >> place) as u8 & 1) << 4
}

fn q5_0(block: &[u8; 22], values: &mut [f32; 32]) {
    let (d, fifth) = (half(block, 0), fifth(block, 2));
    nibbles(&block[6..], values, |code, place| d * (f32::from(code | fifth(place)) - 16.0));
}

fn q5_1(block: &[u8; 24], values: &mut [f32; 32]) {
    let (d, m, fifth) = (half(block, 0), half(block, 2), fifth(block, 4));
    nibbles(&block[8..], values, |code, place| d * f32::from(code | fifth(place)) + m);
}

fn q8_0(block: &[u8; 34], values: &mut [f32; 32]) {
    let d = half(block, 0);
    for (byte, value) in block[2..].iter().zip(values) {
        *value = f32::from(byte.cast_signed()) * d;
    }
}

fn q2_k(block: &[u8; 84], values: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 80), half(block, 82));
    for (group, values) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = block[group];
        let (dl, ml) = (d * f32::from(scale & 15), dmin * f32::from(scale >> 4));
        // Groups of 128 numbers share 32 bytes, in four layers of 2 bits.
        let (packed, shift) = (16 + group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
        for (byte, value) in block[packed..packed + 16].iter().zip(values) {
            *value = dl * f32::from((byte >> shift) & 3) - ml;
        }
    }
}

fn q3_k(block: &[u8; 110], values: &mut [f32; 256]) {
    let d = half(block, 108);
    let scales = &block[96..108];
    for (group, values) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = (scales[group % 8] >> (group / 8 * 4)) & 15;
        let high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
        let dl = d * (f32::from(low | high << 4) - 32.0);
        let (packed, shift) = (32 + group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
        let (mask, bit) = (group % 2 * 16, group / 2);
        let masks = &block[mask..mask + 16];
        for ((byte, mask), value) in block[packed..packed + 16].iter().zip(masks).zip(values) {
            let missing = (!mask >> bit & 1) << 2;
            *value = dl * (f32::from((byte >> shift) & 3) - f32::from(missing));
        }
    }
}

/// Scale and minimum of the 32 numbers `group` of Q4_K and Q5_K: 6 bits each in 12 bytes.
fn scale_min(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, min) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(block: &[u8; 144], values: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (group, values) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_min(&block[4..16], group);
        let (d, m) = (d * scale, dmin * min);
        let (packed, shift) = (16 + group / 2 * 32, group % 2 * 4);
        for (byte, value) in block[packed..packed + 32].iter().zip(values) {
            *value = d * f32::from((byte >> shift) & 15) - m;
        }
    }
}

fn q5_k(block: &[u8; 176], values: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    for (group, values) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_min(&block[4..16], group);
        let (d, m) = (d * scale, dmin * min);
        let (packed, shift) = (48 + group / 2 * 32, group % 2 * 4);
        let packed = block[packed..packed + 32].iter().zip(&block[16..48]);
        for ((byte, high), value) in packed.zip(values) {
            let code = (byte >> shift) & 15 | (high >> group & 1) << 4;
            *value = d * f32::from(code) - m;
        }
    }
}

fn q6_k(block: &[u8; 210], values: &mut [f32; 256]) {
    let d = half(block, 208);
    for (group, values) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let d = d * f32::from(block[192 + group].cast_signed());
        // Each 128 numbers have 64 bytes of low halves and 32 bytes of high pairs, in 32s.
        let (part, quarter, odd) = (group / 8, group % 8 / 2, group % 2 * 16);
        let (low, low_shift) = (part * 64 + quarter % 2 * 32 + odd, quarter / 2 * 4);
        let (high, high_shift) = (128 + part * 32 + odd, quarter * 2);
        let packed = block[low..low + 16].iter().zip(&block[high..high + 16]);
        for ((low, high), value) in packed.zip(values) {
            let code = (low >> low_shift) & 15 | (high >> high_shift & 3) << 4;
            *value = d * (f32::from(code) - 32.0);
        }
    }
}

fn iq4_nl(block: &[u8; 18], values: &mut [f32; 32]) {
    let d = half(block, 0);
    nibbles(&block[2..], values, |code, _| d * IQ4[usize::from(code)]);
}

fn iq4_xs(block: &[u8; 136], values: &mut [f32; 256]) {
    let d = half(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (group, values) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = (block[4 + group / 2] >> (group % 2 * 4)) & 15;
        let scale = low | ((high >> (2 * group)) as u8 & 3) << 4;
        let dl = d * (f32::from(scale) - 32.0);
        let packed = 8 + group * 16;
        nibbles(&block[packed..packed + 16], values, |code, _| dl * IQ4[usize::from(code)]);
    }
}
