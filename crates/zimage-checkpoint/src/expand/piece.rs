//! Pieces: runs of whole blocks or rows that are read and expanded at once.

use std::ops::Range;

use crate::encoding::{Encoding, ScaleScope, ScaledFormat};
use crate::stored_tensor::StoredTensor;

/// Parts of a piece begin at multiples of this, so that a GPU loads them in vectors.
const ALIGNMENT: usize = 16;

/// Rows of a tile of block scales; a tile has 4 columns.
const TILE_ROWS: u64 = 128;
const TILE_BYTES: u64 = 512;

/// A run of whole blocks or rows of a stored tensor, and the bytes that it needs: its own and those
/// of its scales, in one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How its numbers are written.
    pub encoding: Encoding,
    /// Its rows; 1 if rows have no scales of their own.
    pub rows: usize,
    /// The numbers of a row.
    pub width: usize,
    /// The row at which it begins in the first of its tiles of block scales.
    pub first: usize,
    parts: [Part; 4],
}

/// A stretch of bytes of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its offset in the file.
    pub offset: u64,
    /// Its place in the piece's buffer.
    pub at: usize,
    /// Its length.
    pub bytes: usize,
}

impl Piece {
    /// Its numbers.
    pub fn numbers(&self) -> usize {
        self.rows * self.width
    }

    /// The bytes of its buffer.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.at + part.bytes).max().unwrap_or(0)
    }

    /// The bytes that are read from the file.
    pub fn file_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes as u64).sum()
    }

    /// What is read from the file, and where it lies: first the numbers, then the scales in the order
    /// of [`StoredTensor::companions`]. Parts that the encoding does not have are empty.
    pub fn parts(&self) -> &[Part; 4] {
        &self.parts
    }

    /// The bytes of part `number` in the buffer.
    pub(super) fn part<'a>(&self, number: usize, buffer: &'a [u8]) -> &'a [u8] {
        let Part { at, bytes, .. } = self.parts[number];
        &buffer[at..at + bytes]
    }

    /// With the stretches of the file at their places in the buffer.
    fn new(encoding: Encoding, rows: u64, width: u64, first: u64, file: [(u64, u64); 4]) -> Self {
        let mut end: usize = 0;
        let parts = file.map(|(offset, bytes)| {
            if bytes == 0 {
                return Part::default();
            }
            let at = end.next_multiple_of(ALIGNMENT);
            end = at + bytes as usize;
            Part { offset, at, bytes: bytes as usize }
        });
        Self { encoding, rows: rows as usize, width: width as usize, first: first as usize, parts }
    }
}

impl StoredTensor {
    /// The whole tensor as one piece; none if its encoding is not read.
    pub fn piece(&self) -> Option<Piece> {
        self.pieces(u64::MAX, u64::MAX).next()
    }

    /// The tensor in pieces of at most `bytes` bytes (without scales) and `numbers` numbers, or of one
    /// block or row where that is larger. There are none if its encoding is not read.
    pub fn pieces(&self, bytes: u64, numbers: u64) -> impl Iterator<Item = Piece> + '_ {
        let (each, unit, units) = match self.encoding {
            Encoding::Plain(number) => (number.bytes(), 1, self.numbers()),
            Encoding::Blocks(block) => {
                (block.bytes(), block.numbers(), self.numbers() / block.numbers())
            }
            Encoding::Scaled(format) => {
                let row = format.row_bytes(self.width()).unwrap_or(0);
                (row, self.width(), if row == 0 { 0 } else { self.numbers() / self.width() })
            }
            Encoding::Unsupported(_) => (1, 1, 0),
        };
        let mut step = (bytes / each.max(1)).min(numbers / unit.max(1)).max(1);
        if let Encoding::Scaled(ScaledFormat::Nvfp4 | ScaledFormat::Mxfp8) = self.encoding
            && step > TILE_ROWS
        {
            // Whole tiles, so that their scales are read once.
            step -= step % TILE_ROWS;
        }
        let mut next: u64 = 0;
        std::iter::from_fn(move || {
            let first = next;
            next = first.saturating_add(step).min(units);
            (first < units).then(|| self.units(first..next, each, unit))
        })
    }

    /// The piece of these rows or blocks, each of `bytes` bytes and `numbers` numbers.
    fn units(&self, units: Range<u64>, bytes: u64, numbers: u64) -> Piece {
        let count = units.end - units.start;
        let own = (self.offset + units.start * bytes, count * bytes);
        let none = (0, 0);
        let Encoding::Scaled(format) = self.encoding else {
            return Piece::new(self.encoding, 1, count * numbers, 0, [own, none, none, none]);
        };
        let first = self.first_row + units.start;
        // Companions are checked when the header is read; a missing one would be an empty part.
        let companion = |number: usize, offset: u64, bytes: u64| {
            self.companions.get(number).map_or(none, |found| (found.offset + offset, bytes))
        };
        let scales = |scope| match scope {
            ScaleScope::Tensor => companion(0, 0, 4),
            ScaleScope::Row => companion(0, first * 4, count * 4),
        };
        let tiles = |block: u64| {
            let row = (numbers / block).div_ceil(4) * TILE_BYTES;
            let (begin, end) = (first / TILE_ROWS, (first + count).div_ceil(TILE_ROWS));
            companion(0, begin * row, (end - begin) * row)
        };
        let mut in_tile = 0;
        let file = match format {
            ScaledFormat::Float8(_, scope) | ScaledFormat::Int8(scope, _) => {
                [own, scales(scope), none, none]
            }
            ScaledFormat::Int4(_) => [own, scales(ScaleScope::Row), none, none],
            ScaledFormat::Grouped { group, scales, codebook, .. } => {
                let row = numbers / u64::from(group) * scales.bytes();
                let table = if codebook { companion(2, 0, 64) } else { none };
                let of_rows = companion(1, first * 4, count * 4);
                [own, companion(0, first * row, count * row), of_rows, table]
            }
            ScaledFormat::Mxfp8 => {
                in_tile = first % TILE_ROWS;
                [own, tiles(32), none, none]
            }
            ScaledFormat::Nvfp4 => {
                in_tile = first % TILE_ROWS;
                [own, tiles(16), companion(1, 0, 4), none]
            }
        };
        Piece::new(self.encoding, count, numbers, in_tile, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{BlockType, Number};
    use crate::stored_tensor::Companion;

    fn stored(encoding: Encoding, shape: [i64; 2], companions: &[(u64, u64)]) -> StoredTensor {
        let [rows, width] = shape.map(|side| side as u64);
        let companions = companions.iter().map(|&(offset, bytes)| Companion { offset, bytes });
        StoredTensor {
            encoding,
            shape: shape.to_vec(),
            offset: 100,
            bytes: encoding.bytes(rows * width, width).unwrap(),
            first_row: 0,
            companions: companions.collect(),
        }
    }

    #[test]
    fn pieces_follow_one_another_and_hold_all() {
        let rows = ScaledFormat::Int8(ScaleScope::Row, None);
        for encoding in [
            Encoding::Plain(Number::F8E4m3),
            Encoding::Blocks(BlockType::Q3K),
            Encoding::Scaled(rows),
        ] {
            let stored = stored(encoding, [300, 512], &[(9000, 1200)]);
            for (bytes, numbers) in [(1, 1), (5000, u64::MAX), (u64::MAX, 5000), (5000, 3000)] {
                let (mut offset, mut all) = (100, 0);
                for piece in stored.pieces(bytes, numbers) {
                    let part = piece.parts()[0];
                    assert_eq!((part.offset, part.at), (offset, 0));
                    assert!(part.bytes as u64 <= bytes.max(512), "{encoding}");
                    assert!(piece.numbers() as u64 <= numbers.max(512), "{encoding}");
                    offset += part.bytes as u64;
                    all += piece.numbers() as u64;
                }
                assert_eq!((offset, all), (100 + stored.bytes, 300 * 512), "{encoding}");
            }
        }
    }

    #[test]
    fn scales_of_rows_go_with_their_rows() {
        let format = ScaledFormat::Int8(ScaleScope::Row, None);
        let all = stored(Encoding::Scaled(format), [10, 8], &[(1000, 40)]);
        let part = all.narrow_rows(4..10).unwrap();
        let pieces = part.pieces(17, u64::MAX).collect::<Vec<_>>();
        let places = pieces.iter().map(|p| (p.rows, p.parts()[1].offset, p.parts()[1].bytes));
        assert_eq!(places.collect::<Vec<_>>(), [(2, 1016, 8), (2, 1024, 8), (2, 1032, 8)]);
        assert_eq!(pieces[0].parts()[1].at, 16);
        assert_eq!((pieces[0].bytes(), pieces[0].file_bytes()), (24, 24));
    }

    #[test]
    fn tiles_of_scales_go_with_any_of_their_rows() {
        // 96 numbers are 6 blocks of 16, in two tiles of 4.
        let nvfp4 = Encoding::Scaled(ScaledFormat::Nvfp4);
        let all = stored(nvfp4, [400, 96], &[(50000, 4 * 1024), (60000, 4)]);
        let some = all.narrow_rows(100..300).unwrap().piece().unwrap();
        assert_eq!((some.rows, some.first, some.parts()[0].offset), (200, 100, 100 + 100 * 48));
        assert_eq!((some.parts()[1].offset, some.parts()[1].bytes), (50000, 3 * 1024));
        assert_eq!((some.parts()[2].offset, some.parts()[2].bytes), (60000, 4));
        let last = all.narrow_rows(256..400).unwrap().piece().unwrap();
        assert_eq!((last.first, last.parts()[1].offset, last.parts()[1].bytes), (0, 52048, 2048));
        let pieces = all.pieces(150 * 48, u64::MAX).map(|piece| (piece.first, piece.rows));
        assert_eq!(pieces.collect::<Vec<_>>(), [(0, 128), (0, 128), (0, 128), (0, 16)]);
    }
}
