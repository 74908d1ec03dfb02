//! File formats of weights: what a file says about its tensors, checked against its length.

mod companions;
pub(crate) mod gguf;
mod quantization;
pub(crate) mod safetensors;

use std::collections::BTreeMap;

use crate::error::Result;
use crate::source::DataFile;
use crate::stored_tensor::StoredTensor;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Hugging Face's safetensors.
    Safetensors,
    /// llama.cpp's GGUF.
    Gguf,
}

/// A parsed and checked header.
#[derive(Debug)]
pub(crate) struct Header {
    /// The tensors by name, in the order of their offsets, without those that belong to another one
    /// (see [`StoredTensor::companions`]).
    pub(crate) tensors: Vec<(String, StoredTensor)>,
    /// What else the file says.
    pub(crate) metadata: Metadata,
    /// The SHA-256 of its bytes.
    pub(crate) digest: String,
}

/// What a file says beside its tensors, by key.
pub type Metadata = BTreeMap<String, MetadataValue>;

/// A value of a file's metadata. Long lists, such as a vocabulary, are left out.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    /// A text.
    Text(String),
    /// An integer; truth values are 0 and 1.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A few integers.
    Integers(Vec<i64>),
}

impl MetadataValue {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FileFormat {
    /// The format of `file` by its first bytes; none if it is another one.
    pub(crate) fn of(file: &DataFile) -> Result<Option<Self>> {
        let mut start = [0; 9];
        let read = file.len.min(start.len() as u64) as usize;
        file.read_exact_at(&mut start[..read], 0)?;
        if start.starts_with(&gguf::MAGIC) {
            return Ok(Some(Self::Gguf));
        }
        // The length of the header, and its opening brace.
        let [length @ .., brace] = start;
        let fits = u64::from_le_bytes(length).checked_add(8).is_some_and(|end| end <= file.len);
        Ok((fits && brace == b'{').then_some(Self::Safetensors))
    }
}

/// Reads the header of `file`, whose format its first bytes say. An unknown format is reported as a
/// damaged safetensors file.
pub(crate) fn read(file: &DataFile) -> Result<Header> {
    match FileFormat::of(file)? {
        Some(FileFormat::Gguf) => gguf::read(file),
        Some(FileFormat::Safetensors) | None => safetensors::read(file),
    }
}

/// The tensors of a file of weights by name, in the order of their offsets, and what else it says.
///
/// # Errors
/// When the file is neither safetensors nor GGUF, damaged, or has an unknown quantisation.
pub fn read_tensors(file: &DataFile) -> Result<(Vec<(String, StoredTensor)>, Metadata)> {
    let Header { tensors, metadata, .. } = read(file)?;
    Ok((tensors, metadata))
}
