//! Expansion of encoded tensors to plain numbers, on the CPU and without libtorch.
//!
//! The numbers are those of the programs that define the encodings, to the bit: each is computed in
//! float32 in the order of their own code, and then rounded once to the type that is asked for. The
//! kernels of `zimage-cuda` compute the same in the same order; this is their plain twin.

mod blocks;
mod numbers;
mod piece;
mod rotation;
mod scaled;

pub(crate) use numbers::{rounded_to_bf16, widen};
pub use piece::{Part, Piece};
pub(crate) use rotation::rotate;

use crate::encoding::{Encoding, Number};

/// Numbers that are computed before they are rounded: they stay in the processor's first cache.
const BATCH: usize = 1024;

/// Expands a piece: `bytes` are its bytes as [`Piece::parts`] places them, and `out` takes all its
/// numbers as `to`. Nothing is done, and false returned, when lengths do not fit, or `to` is none
/// of `F32`, `Bf16` and `F16`.
#[must_use]
pub fn expand(piece: &Piece, bytes: &[u8], to: Number, out: &mut [u8]) -> bool {
    let fits = bytes.len() >= piece.bytes()
        && out.len() as u64 == piece.numbers() as u64 * to.bytes()
        && matches!(to, Number::F32 | Number::Bf16 | Number::F16);
    if !fits {
        return false;
    }
    let mut sink = Sink { to, out };
    match piece.encoding {
        Encoding::Plain(number) => numbers::expand(number, &bytes[..piece.bytes()], &mut sink),
        Encoding::Blocks(block) => blocks::expand(block, &bytes[..piece.bytes()], &mut sink),
        Encoding::Scaled(format) => scaled::expand(format, piece, bytes, &mut sink),
        Encoding::Unsupported(_) => return false,
    }
    true
}

/// Takes numbers in their order, and rounds them.
struct Sink<'a> {
    to: Number,
    /// What is not yet filled.
    out: &'a mut [u8],
}

impl Sink<'_> {
    fn push(&mut self, values: &[f32]) {
        let bytes = values.len() * self.to.bytes() as usize;
        let (now, later) = std::mem::take(&mut self.out).split_at_mut(bytes);
        match self.to {
            Number::F32 => store(values, now, f32::to_le_bytes),
            Number::Bf16 => store(values, now, |x| numbers::to_bf16(x).to_le_bytes()),
            Number::F16 => store(values, now, |x| numbers::to_f16(x).to_le_bytes()),
            Number::F8E4m3 | Number::F8E5m2 => {}
        }
        self.out = later;
    }
}

fn store<const N: usize>(values: &[f32], out: &mut [u8], bytes: impl Fn(f32) -> [u8; N]) {
    let (chunks, _) = out.as_chunks_mut::<N>();
    for (value, chunk) in values.iter().zip(chunks) {
        *chunk = bytes(*value);
    }
}

#[cfg(test)]
mod tests;
