//! The safetensors format: a file's header, checked against the file's length.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata as Offsets, TensorInfo};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Header, Metadata, MetadataValue, companions};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::json;
use crate::source::DataFile;

/// The longest header that is read. A header has some 100 bytes a tensor, so no model needs more,
/// and the memory that parsing takes stays bounded.
const HEADER_LIMIT: u64 = 16 << 20;

/// A header begins after its own length, eight bytes in little-endian order.
const PREFIX: u64 = 8;

/// Characters of a refused name that are shown.
const NAME_SHOWN: usize = 60;

/// Reads the header of `file`.
pub(crate) fn read(file: &DataFile) -> Result<Header> {
    let bad =
        |reason: String| Error::Header { file: file.label.clone(), format: "safetensors", reason };
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

    let Entries { tensors, metadata } =
        json::object(&text).map_err(|reason| bad(format!("its header is damaged ({reason})")))?;
    let digest = sha256(&text);
    drop(text);
    let tensors = check(tensors).map_err(bad)?;
    let end = tensors.last().map_or(data, |(_, info)| data + info.data_offsets.1 as u64);
    if end > file.len {
        return Err(Error::Truncated { file: file.label.clone(), expected: end, found: file.len });
    }
    if end < file.len {
        return Err(bad(format!("{} bytes follow its last tensor", file.len - end)));
    }
    Ok(Header { tensors: companions::fold(file, tensors, data, &metadata)?, metadata, digest })
}

/// The entries sorted by offset, if they follow one another and fit their types and shapes.
fn check(
    mut tensors: Vec<(String, TensorInfo)>,
) -> std::result::Result<Vec<(String, TensorInfo)>, String> {
    // Names stand in sentences, and what is refused is one line.
    if let Some((name, _)) = tensors.iter().find(|(name, _)| name.contains(char::is_control)) {
        let name: String = name.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect();
        return Err(format!("the tensor {name} has a control character in its name"));
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(twice) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("it has the tensor {} twice", twice[0].0));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    match Offsets::new(None, tensors.clone()) {
        Ok(_) => Ok(tensors),
        Err(SafeTensorError::InvalidOffset(name)) => {
            Err(format!("the tensor {name} does not begin where the one before it ends"))
        }
        Err(_) => Err("a tensor's type and shape do not fit its length".to_owned()),
    }
}

/// The header's JSON object.
///
/// Read entry by entry: safetensors' own type goes through a generic tree, which costs many times
/// the header's length.
struct Entries {
    tensors: Vec<(String, TensorInfo)>,
    /// The texts of `__metadata__`.
    metadata: Metadata,
}

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
        let mut entries = Entries { tensors: Vec::new(), metadata: Metadata::new() };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                let texts: BTreeMap<String, Text> = map.next_value()?;
                let texts = texts.into_iter().filter_map(|(key, Text(text))| {
                    text.map(|text| (key, MetadataValue::Text(text)))
                });
                entries.metadata.extend(texts);
            } else {
                entries.tensors.push((name, map.next_value()?));
            }
        }
        Ok(entries)
    }
}

/// A text; other values, which the format does not allow, are ignored.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> std::result::Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Text, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}
