//! The GGUF format, versions 2 and 3: a file's header, checked against the file's length.
//!
//! The format is that of ggml's `docs/gguf.md`; limits that it leaves open are in [`cursor`].

mod cursor;
mod metadata;
mod tensors;

use super::Header;
use crate::error::{Error, Result};
use crate::source::DataFile;
use cursor::{Bad, Cursor};

/// The first bytes of a file.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// Tensors begin at multiples of this unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// Reads the header of `file`.
pub(crate) fn read(file: &DataFile) -> Result<Header> {
    parse(file).map_err(|bad| match bad {
        Bad::Read(error) => error,
        Bad::Header(reason) => Error::Header { file: file.label.clone(), format: "GGUF", reason },
        Bad::Truncated(expected) => {
            Error::Truncated { file: file.label.clone(), expected, found: file.len }
        }
    })
}

fn parse(file: &DataFile) -> std::result::Result<Header, Bad> {
    let mut cursor = Cursor::new(file);
    if cursor.bytes::<4>()? != MAGIC {
        return Err(Bad::Header("it does not begin with GGUF".to_owned()));
    }
    match cursor.u32()? {
        2 | 3 => {}
        1 => return Err(Bad::Header("its version is 1; versions 2 and 3 are read".to_owned())),
        version if matches!(version.swap_bytes(), 1..=3) => {
            return Err(Bad::Header(
                "its numbers are big-endian; only little-endian files are read".to_owned(),
            ));
        }
        version => {
            return Err(Bad::Header(format!(
                "its version is {version}; versions 2 and 3 are read"
            )));
        }
    }
    // A tensor has at least 24 bytes in the header, and a key 13.
    let tensors = cursor.count("tensors", 24)?;
    let keys = cursor.count("keys", 13)?;
    let metadata = metadata::read(&mut cursor, keys)?;
    let entries = tensors::read(&mut cursor, tensors)?;
    let alignment = metadata::alignment(&metadata)?.unwrap_or(ALIGNMENT);
    let (header, digest) = cursor.finish();
    let tensors = tensors::place(entries, header, alignment, file.len, &metadata)?;
    Ok(Header { tensors, metadata, digest })
}

#[cfg(test)]
mod tests;
