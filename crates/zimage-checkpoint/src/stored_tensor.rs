//! A tensor in a file: its encoding, shape, place, and the scales that belong to it.

use std::ops::Range;

use crate::encoding::Encoding;
use crate::error::{Error, Result};

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// How its numbers are written.
    pub encoding: Encoding,
    /// Its dimensions as PyTorch has them: rows first, the numbers of a row last.
    pub shape: Vec<i64>,
    /// The offset of its first byte in the file.
    pub offset: u64,
    /// Its length in bytes, without companions; all of them are within the file.
    pub bytes: u64,
    /// The row of the file's tensor at which it begins: its companions describe the whole.
    pub first_row: u64,
    /// Tensors of scales, in the order that its encoding has.
    pub companions: Vec<Companion>,
}

/// A tensor that belongs to another one, such as its scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Companion {
    /// The offset of its first byte in the file.
    pub offset: u64,
    /// Its length in bytes; all of them are within the file.
    pub bytes: u64,
}

impl StoredTensor {
    /// How many numbers it has.
    pub fn numbers(&self) -> u64 {
        product(&self.shape)
    }

    /// How many numbers a row has: all but the first dimension.
    pub fn row(&self) -> u64 {
        product(self.shape.get(1..).unwrap_or_default())
    }

    /// The numbers of the last dimension.
    pub fn width(&self) -> u64 {
        self.shape.last().map_or(1, |&side| side as u64)
    }

    /// The tensor of these rows alone.
    ///
    /// # Errors
    /// When it has fewer rows, or they do not begin and end with a block.
    pub fn narrow_rows(&self, rows: Range<i64>) -> Result<Self> {
        let refused = || Error::Rows {
            first: rows.start,
            end: rows.end,
            shape: self.shape.clone(),
            encoding: self.encoding.to_string(),
        };
        // A single number has no rows.
        let &[all, ..] = &self.shape[..] else { return Err(refused()) };
        if rows.start < 0 || rows.start > rows.end || rows.end > all {
            return Err(refused());
        }
        let bytes =
            |rows: i64| self.encoding.bytes((rows as u64).saturating_mul(self.row()), self.width());
        let (before, bytes) =
            bytes(rows.start).zip(bytes(rows.end - rows.start)).ok_or_else(refused)?;
        let shape = [&[rows.end - rows.start], &self.shape[1..]].concat();
        Ok(Self {
            encoding: self.encoding,
            shape,
            offset: self.offset + before,
            bytes,
            first_row: self.first_row + rows.start as u64,
            companions: self.companions.clone(),
        })
    }
}

/// The product of dimensions; one of them may be 0, and the others larger than any tensor.
fn product(shape: &[i64]) -> u64 {
    shape.iter().fold(1, |all, &side| all.saturating_mul(side as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{BlockType, Number, ScaledFormat};

    fn stored(encoding: Encoding, shape: &[i64]) -> StoredTensor {
        let shape = shape.to_vec();
        let numbers = shape.iter().product::<i64>() as u64;
        let bytes = encoding.bytes(numbers, shape[shape.len() - 1] as u64).unwrap();
        let companions = vec![Companion { offset: 5000, bytes: 512 }];
        StoredTensor { encoding, shape, offset: 1000, bytes, first_row: 0, companions }
    }

    #[test]
    fn rows_are_contiguous_and_keep_their_companions() {
        for (encoding, row) in [
            (Encoding::Plain(Number::Bf16), 512),
            (Encoding::Blocks(BlockType::Q6K), 210),
            (Encoding::Scaled(ScaledFormat::Nvfp4), 128),
        ] {
            let all = stored(encoding, &[12, 256]);
            let some = all.narrow_rows(4..8).unwrap();
            assert_eq!((some.offset, some.bytes), (1000 + 4 * row, 4 * row), "{encoding}");
            assert_eq!((some.shape.as_slice(), some.first_row), (&[4, 256][..], 4));
            assert_eq!(some.companions, all.companions);
            let fewer = some.narrow_rows(1..2).unwrap();
            assert_eq!((fewer.offset, fewer.first_row), (1000 + 5 * row, 5));
        }
    }

    #[test]
    fn rows_beyond_the_end_and_parts_of_blocks_are_refused() {
        let plain = stored(Encoding::Plain(Number::F32), &[4, 3]);
        for rows in [-1..2, 0..5, 5..6] {
            assert!(matches!(plain.narrow_rows(rows), Err(Error::Rows { .. })));
        }
        let scalar = StoredTensor { shape: Vec::new(), ..plain };
        assert!(matches!(scalar.narrow_rows(0..0), Err(Error::Rows { .. })));
        // 4 rows of 64 numbers are one block of 256.
        let blocks = stored(Encoding::Blocks(BlockType::Q4K), &[8, 64]);
        assert!(matches!(blocks.narrow_rows(2..4), Err(Error::Rows { .. })));
        assert_eq!(blocks.narrow_rows(4..8).unwrap().offset, 1144);
    }
}
