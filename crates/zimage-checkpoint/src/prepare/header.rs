//! The header of a prepared file.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::record::{CHECKSUM, SHA256, Texts};
use crate::digest::sha256;

/// Data begin at a multiple of this, the size of a page.
pub(super) const ALIGNMENT: u64 = 4096;
/// A checksum that is not known yet.
pub(super) const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A tensor's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// Its name.
    #[serde(skip)]
    pub(super) name: String,
    /// Its type in the words of the format.
    pub(super) dtype: &'static str,
    /// Its dimensions.
    pub(super) shape: Vec<i64>,
    /// Where it begins and ends in the data.
    pub(super) data_offsets: (u64, u64),
}

struct Header<'a> {
    texts: &'a Texts,
    entries: &'a [Entry],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1 + self.entries.len()))?;
        map.serialize_entry("__metadata__", self.texts)?;
        for entry in self.entries {
            map.serialize_entry(&entry.name, entry)?;
        }
        map.end()
    }
}

/// The first bytes of the file, up to the data: the header's length, the header, and spaces.
///
/// `sums` are the checksums of the tensors by name. The length does not depend on their values. With
/// the checksum of the header.
pub(super) fn bytes(
    texts: &Texts,
    entries: &[Entry],
    sums: &BTreeMap<&str, String>,
) -> serde_json::Result<(Vec<u8>, String)> {
    let mut texts = texts.clone();
    texts.insert(SHA256, serde_json::to_string(sums)?);
    texts.insert(CHECKSUM, ZEROS.to_owned());
    let text = |texts: &Texts| {
        let mut text = serde_json::to_string(&Header { texts, entries })?;
        let end = (8 + text.len() as u64).next_multiple_of(ALIGNMENT) - 8;
        text.extend(std::iter::repeat_n(' ', end as usize - text.len()));
        Ok::<_, serde_json::Error>(text)
    };
    let checksum = sha256(text(&texts)?.as_bytes());
    texts.insert(CHECKSUM, checksum.clone());
    let text = text(&texts)?;
    Ok(([&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat(), checksum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_begin_at_a_page_whatever_the_sums() {
        let entry = |name: &str, from, to| Entry {
            name: name.to_owned(),
            dtype: "U8",
            shape: vec![to as i64 - from as i64],
            data_offsets: (from, to),
        };
        let entries = [entry("a", 0, 5), entry("b", 5, 6)];
        let texts = Texts::from([("format", "pt".to_owned())]);
        let with = |sum: &str| {
            let sums = BTreeMap::from([("a", sum.to_owned()), ("b", sum.to_owned())]);
            bytes(&texts, &entries, &sums).unwrap().0
        };
        let (one, other) = (with(ZEROS), with(&sha256(b"x")));
        assert_eq!((one.len(), other.len()), (4096, 4096));
        assert_ne!(one, other);
        let file = [one, vec![0; 6]].concat();
        let read = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(read.tensor("b").unwrap().data(), [0]);
    }
}
