//! What can be wrong with a ControlNet: each error names the file, what was found and what was expected.

use std::borrow::Cow;

use crate::error::Error;

/// A fault of a ControlNet; its display is one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The file itself is damaged or cannot be read.
    #[error(transparent)]
    File(#[from] Error),
    /// A file without the embedder that every ControlNet of this model has.
    #[error("{file} is {what}, expected a ControlNet of Z-Image")]
    NotAControlNet {
        /// Its path.
        file: String,
        /// What it is.
        what: String,
    },
    /// A ControlNet for a model of other dimensions.
    #[error("{file} is a ControlNet for tokens of width {found}, and this model's have {expected}")]
    OtherModel {
        /// Its path.
        file: String,
        /// Its width.
        found: i64,
        /// The model's.
        expected: i64,
    },
    /// A structure that is not computed.
    #[error("{file} has a structure that is not known: {why}")]
    Structure {
        /// Its path.
        file: String,
        /// What is impossible.
        why: String,
    },
    /// No ControlNet has this name.
    #[error("there is no ControlNet named {name}{}", near(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The names that are nearest, or those that share it.
        nearest: Vec<String>,
    },
    /// No name was given, and there is not exactly one.
    #[error("there are {} ControlNets, expected the name of one: {}", .names.len(), .names.join(", "))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// The directories have none.
    #[error("a control image is given, and the daemon's directories have no ControlNet")]
    None,
    /// No directories of ControlNets are configured.
    #[error("a control image is given, and the daemon has no directory of ControlNets")]
    NoDirectories,
}

impl ControlError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::File(error) => return error.hint(),
            Self::NotAControlNet { .. } | Self::Structure { .. } => {
                "take one of alibaba-pai's Z-Image-Turbo-Fun-Controlnet files"
            }
            Self::OtherModel { .. } => "take a ControlNet that was made for this model",
            Self::Unknown { .. } => "the names are those of the files in the daemon's control_dirs",
            Self::Several { .. } => "name one with --control-net",
            Self::None => "put a ControlNet into a directory of the daemon's control_dirs",
            Self::NoDirectories => {
                "start zimaged with --control-dir DIR, or set control_dirs in its configuration"
            }
        };
        Some(hint.into())
    }
}

fn near(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (near it: {})", names.join(", ")) }
}
