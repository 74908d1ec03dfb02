//! Encodings of tensors in files: plain numbers, GGML's blocks, ComfyUI's scaled formats.

mod block_type;
mod number;
mod scaled;

use std::fmt;

pub use block_type::BlockType;
pub use number::Number;
pub use scaled::{Rotation, ScaleScope, ScaledFormat};

/// How a tensor's numbers are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One number after another.
    Plain(Number),
    /// GGML's blocks of numbers with scales of their own; a block lies along a row.
    Blocks(BlockType),
    /// Rows of small numbers whose scales are tensors of their own, as ComfyUI writes them.
    Scaled(ScaledFormat),
    /// An encoding that is recognised by its name but not read.
    Unsupported(&'static str),
}

impl Encoding {
    /// The bytes of `numbers` numbers in rows of `width`, without scales that are tensors of their
    /// own; none if the encoding is not read, or the numbers are no whole blocks.
    pub fn bytes(self, numbers: u64, width: u64) -> Option<u64> {
        match self {
            Self::Plain(number) => numbers.checked_mul(number.bytes()),
            Self::Blocks(block) => {
                let whole = numbers.is_multiple_of(block.numbers());
                whole.then(|| (numbers / block.numbers()).checked_mul(block.bytes())).flatten()
            }
            Self::Scaled(format) => {
                let rows = numbers.checked_div(width)?;
                rows.checked_mul(format.row_bytes(width)?)
            }
            Self::Unsupported(_) => None,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(number) => f.write_str(number.name()),
            Self::Blocks(block) => f.write_str(block.name()),
            Self::Scaled(format) => format.fmt(f),
            Self::Unsupported(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_whole_blocks() {
        let block = |block| Encoding::Blocks(block);
        for (encoding, numbers, bytes) in [
            (Encoding::Plain(Number::Bf16), 3, Some(6)),
            (Encoding::Plain(Number::F8E4m3), 3, Some(3)),
            (Encoding::Plain(Number::F32), u64::MAX / 2, None),
            (block(BlockType::Q8_0), 64, Some(68)),
            (block(BlockType::Q8_0), 63, None),
            (block(BlockType::Q4K), 512, Some(288)),
            (Encoding::Scaled(ScaledFormat::Nvfp4), 64, Some(32)),
            (Encoding::Unsupported("IQ1_S"), 256, None),
        ] {
            assert_eq!(encoding.bytes(numbers, 32), bytes, "{encoding}");
        }
    }
}
