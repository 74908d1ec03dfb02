//! What can go wrong while a checkpoint is prepared, or a prepared file is verified.

use std::io;

use crate::error::{Error, listed};

/// Why a checkpoint was not prepared, or a prepared file is none.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] Error),
    /// The file cannot be written.
    #[error("{0}")]
    Write(io::Error),
    /// The caller ended it.
    #[error("preparing was stopped")]
    Stopped,
    /// A thread could not be started, or a fault of this program.
    #[error("preparing failed: {0}")]
    Internal(String),
    /// A file without the record that preparation writes.
    #[error("{file} was not written by `zimg prepare`: it has no checksums")]
    NotPrepared {
        /// Its path.
        file: String,
    },
    /// A prepared file whose header has changed since it was written.
    #[error("{file} is damaged: its header does not match its checksum")]
    Header {
        /// Its path.
        file: String,
    },
    /// A prepared file whose data have changed since they were written.
    #[error("{file} is damaged: {} do not match their checksums", listed(.tensors))]
    Damaged {
        /// Its path.
        file: String,
        /// The tensors.
        tensors: Vec<String>,
    },
}
