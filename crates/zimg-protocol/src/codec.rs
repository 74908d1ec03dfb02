//! Messages to bytes and back; the only module that names bincode.
//!
//! bincode 1.3.3 from slices: little endian, fixed-width integers, `u32` variant numbers, `u64`
//! lengths, a limit, and nothing after the end. Decoding never allocates more than the slice
//! holds, whatever lengths it announces.

use std::fmt;
use std::marker::PhantomData;

use bincode::Options;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::CHUNK_BYTES;

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(CHUNK_BYTES as u64)
        .reject_trailing_bytes()
}

/// Why bytes are not a message, or a message has no bytes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CodecError(#[from] bincode::Error);

/// A message's bytes, appended to `out`.
///
/// # Errors
///
/// The message is longer than [`CHUNK_BYTES`].
pub fn encode_into<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    options().serialize_into(out, message)?;
    Ok(())
}

/// The message that `bytes` are, from first to last.
///
/// # Errors
///
/// Too short, too long, an unknown variant, or text that is not UTF-8.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(options().deserialize(bytes)?)
}

/// Reads a list without making room for as many as are announced, as serde would, up to a
/// mebibyte of them: for `#[serde(deserialize_with)]` on every list in a message.
///
/// # Errors
///
/// Those of the list's own items.
pub fn as_they_come<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct Items<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = from.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }
    from.deserialize_seq(Items(PhantomData))
}
