//! What can be wrong with an adapter: each error names the file, what was found and what was expected.

use std::borrow::Cow;

use crate::error::{Error, listed};

/// A fault of an adapter; its display is one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The file itself is damaged or cannot be read.
    #[error(transparent)]
    File(#[from] Error),
    /// A file without any part of an adapter.
    #[error("{file} is {what}, expected a LoRA or another adapter")]
    NotAnAdapter {
        /// Its path.
        file: String,
        /// What it is.
        what: String,
    },
    /// An adapter of another model.
    #[error("{file} is {what}, expected one of Z-Image")]
    OtherModel {
        /// Its path.
        file: String,
        /// What it is.
        what: &'static str,
    },
    /// Keys that are no part of this model.
    #[error(
        "{file} changes {} linear maps, and {} of them are not in this model: {}{}",
        .all, .names.len(), listed(.names), near(.nearest)
    )]
    Unmatched {
        /// Its path.
        file: String,
        /// How many maps it changes.
        all: usize,
        /// The names that match nothing.
        names: Vec<String>,
        /// The names of the model that are nearest to the first.
        nearest: Vec<String>,
    },
    /// Keys that are no part of an adapter.
    #[error("{file} has {} tensors that are no part of an adapter: {}", .names.len(), listed(.names))]
    UnknownKeys {
        /// Its path.
        file: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A part is there, and the one that belongs to it is not.
    #[error("{file} has {found} of {map} and lacks its {missing}")]
    Incomplete {
        /// Its path.
        file: String,
        /// The map in the file's spelling.
        map: String,
        /// What is there.
        found: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A part has other dimensions than the map.
    #[error("{file} changes {map} with a {part} of shape {found:?}, expected {expected}")]
    Shape {
        /// Its path.
        file: String,
        /// The map in the file's spelling.
        map: String,
        /// The part.
        part: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// What would fit.
        expected: String,
    },
    /// Two spellings of one map, with other contents.
    #[error("{file} changes {map} twice, as {first} and as {second}")]
    Twice {
        /// Its path.
        file: String,
        /// The map.
        map: String,
        /// A spelling.
        first: String,
        /// Another one.
        second: String,
    },
    /// A kind of change that is not computed.
    #[error(
        "{file} changes {map} by {what}, which is not supported: LoRA, LoHa, LoKr, DoRA and differences are"
    )]
    Unsupported {
        /// Its path.
        file: String,
        /// The map in the file's spelling.
        map: String,
        /// The change.
        what: String,
    },
    /// No adapter has this name.
    #[error("there is no LoRA named {name}{}", near(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The names that are nearest.
        nearest: Vec<String>,
    },
    /// No directories of adapters are configured.
    #[error("LoRA {name} is asked for, and the daemon has no directory of LoRAs")]
    NoDirectories {
        /// The name.
        name: String,
    },
}

impl AdapterError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::File(error) => return error.hint(),
            Self::NotAnAdapter { .. } => "`zimg loras` lists the LoRAs and what is wrong with them",
            Self::OtherModel { .. } => "take a LoRA that was made for Z-Image-Turbo or Z-Image",
            Self::Unmatched { .. } | Self::UnknownKeys { .. } => {
                "the file may be for another version of the model: ask where it comes from"
            }
            Self::Unknown { .. } => "`zimg loras` lists them",
            Self::NoDirectories { .. } => {
                "start zimaged with --lora-dir DIR, or set lora_dirs in its configuration"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

fn near(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (near it: {})", names.join(", ")) }
}
