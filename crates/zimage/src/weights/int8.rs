//! 8-bit integers made of plain numbers while they are read: rows of them, or numbers rounded to what
//! they can hold.

use tch::Kind;
use zimage_checkpoint::{Encoding, Number, StoredTensor, make_int8};

use super::cast;
use crate::error::{Error, Result};

/// What becomes of a tensor's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Int8 {
    /// Integers in the tensor's place, and their scales so many bytes after its begin.
    Rows {
        /// Bytes from the first integer to the first scale.
        scales: usize,
    },
    /// They are expanded again: for matrices that are used seldom.
    Rounded,
}

/// Makes integers and scales of rows.
pub(super) fn make(
    (number, width): (Number, usize),
    from: &[u8],
    values: &mut [u8],
    scales: &mut [u8],
) -> Result<()> {
    if make_int8((number, width), from, values, scales) {
        return Ok(());
    }
    Err(Error::Internal("rows and their integers differ in length".to_owned()))
}

/// The numbers that the integers stand for which are made of rows.
pub(super) fn round(
    (number, width): (Number, usize),
    from: &[u8],
    to: &mut [u8],
    kind: Kind,
) -> Result<()> {
    let rows = from.len() / (width * number.bytes() as usize).max(1);
    let plain = StoredTensor {
        encoding: Encoding::Plain(number),
        shape: vec![rows as i64, width as i64],
        offset: 0,
        bytes: from.len() as u64,
        first_row: 0,
        companions: Vec::new(),
    };
    let piece = plain.as_int8().and_then(|rows| rows.piece());
    let piece = piece.ok_or_else(|| Error::Internal("rows that are no integers".to_owned()))?;
    let [values, scales, ..] = *piece.parts();
    let mut made = vec![0; piece.bytes()];
    let (low, high) = made.split_at_mut(scales.at);
    make((number, width), from, &mut low[..values.bytes], &mut high[..scales.bytes])?;
    cast::expand(&piece, &made, to, kind)
}
