//! The record of a prepared file: what its header says beside the tensors.
//!
//! | key of `__metadata__` | value |
//! |---|---|
//! | `format`, `modelspec.title` | what other programs look for: `pt`, and the origin's name |
//! | `zimg.prepared` | the version of this form |
//! | `zimg.dtype`, `zimg.text_encoder_dtype` | the types of large matrices |
//! | `zimg.origin` | the files that it was made of: name, bytes, SHA-256 of the header |
//! | `zimg.config` | the configurations of all components |
//! | `zimg.sha256` | the SHA-256 of each tensor's bytes |
//! | `zimg.checksum` | the SHA-256 of the header in which this value is 64 zeros |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::{Metadata, MetadataValue};

/// The version of the form.
pub(super) const VERSION: &str = "1";
/// The key whose presence makes a file a prepared one.
pub(super) const PREPARED: &str = "zimg.prepared";
/// The key of the transformer's type.
pub(super) const DTYPE: &str = "zimg.dtype";
/// The key of the text encoder's type.
pub(super) const TEXT_ENCODER_DTYPE: &str = "zimg.text_encoder_dtype";
/// The key of the origin.
pub(super) const ORIGIN: &str = "zimg.origin";
/// The key of the configurations.
const CONFIG: &str = "zimg.config";
/// The key of the tensors' checksums.
pub(super) const SHA256: &str = "zimg.sha256";
/// The key of the header's checksum.
pub(super) const CHECKSUM: &str = "zimg.checksum";
/// The key of the title.
pub(super) const TITLE: &str = "modelspec.title";
/// What names of tensors begin with that are no weights.
const OWN: &str = "zimg.";
/// The tensor that is a `tokenizer.json`.
pub(crate) const TOKENIZER: &str = "zimg.tokenizer_json";

/// One file of the origin.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct OriginFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) header_sha256: String,
}

/// What a prepared file was made of.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) files: Vec<OriginFile>,
}

/// The texts of the header's metadata, by key.
pub(super) type Texts = BTreeMap<&'static str, String>;

/// Adds the configurations.
pub(super) fn with_config(texts: &mut Texts, config: String) {
    texts.insert(CONFIG, config);
}

/// The configurations of a prepared file.
pub(crate) fn config(metadata: &Metadata) -> Option<&str> {
    metadata.get(PREPARED)?;
    metadata.get(CONFIG)?.text()
}

/// The name of a prepared file's origin.
pub(crate) fn origin_name(metadata: &Metadata) -> Option<&str> {
    metadata.get(PREPARED)?;
    metadata.get(TITLE).and_then(MetadataValue::text)
}

/// Whether a tensor of this name is no weight but something of the file's own.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with(OWN)
}
