//! The safetensors format: a file's header, checked against the file's length.

use std::fmt;

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::source::DataFile;
use crate::stored_tensor::StoredTensor;

/// The longest header that is read. A header has some 100 bytes a tensor, so no model needs more,
/// and the memory that parsing takes stays bounded.
const HEADER_LIMIT: u64 = 16 << 20;

/// A header begins after its own length, eight bytes in little-endian order.
const PREFIX: u64 = 8;

/// A parsed and checked header.
#[derive(Debug)]
pub(crate) struct Header {
    /// The tensors by name, in the order of their offsets.
    pub(crate) tensors: Vec<(String, StoredTensor)>,
    /// The SHA-256 of its text.
    pub(crate) digest: String,
}

/// Reads the header of `file`.
pub(crate) fn read(file: &DataFile) -> Result<Header> {
    let bad = |reason: String| Error::Header { file: file.label.clone(), reason };
    if file.len < PREFIX {
        return Err(bad(format!("it has only {} bytes", file.len)));
    }
    let mut length = [0; PREFIX as usize];
    file.read_exact_at(&mut length, 0)?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_LIMIT {
        return Err(bad(format!("its header claims {length} bytes, more than {HEADER_LIMIT}")));
    }
    let data = PREFIX + length;
    if data > file.len {
        let follow = file.len - PREFIX;
        return Err(bad(format!("its header claims {length} bytes, but only {follow} follow")));
    }
    let mut text = vec![0; length as usize];
    file.read_exact_at(&mut text, PREFIX)?;

    let entries: Entries = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("its header is damaged ({error})")))?;
    let digest = sha256(&text);
    drop(text);
    let tensors = check(entries).map_err(bad)?;
    let end = tensors.last().map_or(data, |(_, info)| data + info.data_offsets.1 as u64);
    if end > file.len {
        return Err(Error::Truncated { file: file.label.clone(), expected: end, found: file.len });
    }
    if end < file.len {
        return Err(bad(format!("{} bytes follow its last tensor", file.len - end)));
    }
    let located =
        |(name, info): (String, TensorInfo)| Ok((name, locate(&info, data).map_err(bad)?));
    Ok(Header { tensors: tensors.into_iter().map(located).collect::<Result<_>>()?, digest })
}

/// The entries sorted by offset, if they follow one another and fit their types and shapes.
fn check(Entries(mut tensors): Entries) -> std::result::Result<Vec<(String, TensorInfo)>, String> {
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(twice) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("it has the tensor {} twice", twice[0].0));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    match Metadata::new(None, tensors.clone()) {
        Ok(_) => Ok(tensors),
        Err(SafeTensorError::InvalidOffset(name)) => {
            Err(format!("the tensor {name} does not begin where the one before it ends"))
        }
        Err(_) => Err("a tensor's type and shape do not fit its length".to_owned()),
    }
}

fn locate(info: &TensorInfo, data: u64) -> std::result::Result<StoredTensor, String> {
    let shape =
        info.shape.iter().map(|&dim| i64::try_from(dim)).collect::<std::result::Result<_, _>>();
    let (begin, end) = info.data_offsets;
    Ok(StoredTensor {
        dtype: info.dtype.into(),
        shape: shape.map_err(|_| "a dimension is too large".to_owned())?,
        offset: data + begin as u64,
        bytes: (end - begin) as u64,
    })
}

/// The header's JSON object without `__metadata__`.
///
/// Read entry by entry: safetensors' own type goes through a generic tree, which costs many times
/// the header's length.
struct Entries(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Entries(tensors))
    }
}
