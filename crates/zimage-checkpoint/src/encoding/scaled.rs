//! ComfyUI's scaled formats: rows of small numbers with scales that are tensors of their own.
//!
//! Facts are from ComfyUI's `comfy/quant_ops.py` (`QUANT_ALGOS`), `comfy/ops.py`
//! (`_load_quantized_module`), and from the package comfy-kitchen 0.2.40, which writes them.

use std::fmt;

use super::number::Number;

/// A format whose scales are tensors of their own: a weight's companions, in the order given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaledFormat {
    /// 8-bit floating point. Companion: scale.
    Float8(Number, ScaleScope),
    /// Signed 8-bit integers. Companion: scale.
    Int8(ScaleScope, Option<Rotation>),
    /// Signed 4-bit integers, two a byte, the first in the low half. Companion: a scale for each row.
    Int4(Rotation),
    /// Codes of 4 or 6 bits with a scale for each group of a row (`asym_w4a8_int8`), which stand for
    /// 8-bit integers with a scale for each row. Companions: group scales, row scales, and with
    /// `codebook` the 16 values of the codes.
    Grouped {
        /// Bits of a code: 4 or 6.
        bits: u8,
        /// Numbers in a group.
        group: u32,
        /// The type of the group scales.
        scales: Number,
        /// Whether there is a table of the codes' values.
        codebook: bool,
        /// The rotation of the rows.
        rotation: Rotation,
    },
    /// `F8_E4M3` with a power of two for each 32 numbers. Companion: block scales in tiles.
    Mxfp8,
    /// 4-bit floating point (E2M1), two a byte, the first in the high half, with an `F8_E4M3` scale
    /// for each 16 numbers and one scale for all. Companions: block scales in tiles, scale.
    Nvfp4,
}

/// What a scale belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleScope {
    /// The tensor.
    Tensor,
    /// Each row.
    Row,
}

/// The rotation of a row's groups by a Hadamard matrix of this size, a power of 4 (ConvRot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation(u32);

impl Rotation {
    /// The largest size: ComfyUI writes 256.
    const LARGEST: u64 = 1024;

    /// The rotation of groups of `size` numbers, if there is one.
    pub fn new(size: u64) -> Option<Self> {
        let power_of_4 = size.is_power_of_two() && size.trailing_zeros().is_multiple_of(2);
        (power_of_4 && (4..=Self::LARGEST).contains(&size)).then_some(Self(size as u32))
    }

    /// Numbers in a group.
    pub const fn size(self) -> usize {
        self.0 as usize
    }
}

impl ScaledFormat {
    /// The name that ComfyUI has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float8(Number::F8E5m2, _) => "float8_e5m2",
            Self::Float8(..) => "float8_e4m3fn",
            Self::Int8(..) => "int8_tensorwise",
            Self::Int4(_) => "convrot_w4a4",
            Self::Grouped { .. } => "asym_w4a8_int8",
            Self::Mxfp8 => "mxfp8",
            Self::Nvfp4 => "nvfp4",
        }
    }

    /// The bytes of a row of `width` numbers, without scales; none if they are no whole bytes.
    pub fn row_bytes(self, width: u64) -> Option<u64> {
        let bits = match self {
            Self::Float8(..) | Self::Int8(..) | Self::Mxfp8 => 8,
            Self::Int4(_) | Self::Nvfp4 => 4,
            Self::Grouped { bits, .. } => u64::from(bits),
        };
        let bits = width.checked_mul(bits)?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

impl fmt::Display for ScaledFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Int8(_, Some(_)) => f.write_str(" (ConvRot)"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_powers_of_4() {
        let sizes = (0..5000).filter(|&size| Rotation::new(size).is_some());
        assert_eq!(sizes.collect::<Vec<_>>(), [4, 16, 64, 256, 1024]);
    }
}
