//! Failures of `zimg prepare`: the exit code of each, and what to do.

use std::path::Path;

use zimage_checkpoint::{Error, PrepareError};
use zimg_client::{Failure, Kind};

/// The failure that the user is told; `file` is the one that was written or verified.
pub(crate) fn failure(error: &PrepareError, file: &Path) -> Failure {
    match error {
        PrepareError::Checkpoint(error) => checkpoint_failure(error),
        PrepareError::Write(error) => {
            Failure::new(Kind::Io, format!("cannot write {}: {error}", file.display()))
        }
        PrepareError::Stopped => Failure::new(Kind::Cancelled, "interrupted"),
        PrepareError::Internal(_) => Failure::new(Kind::Internal, error.to_string()),
        PrepareError::NotPrepared { .. } => Failure::new(Kind::Config, error.to_string())
            .hint("`zimg doctor` checks the served checkpoint, whatever wrote it"),
        PrepareError::Header { .. } | PrepareError::Damaged { .. } => {
            Failure::new(Kind::Config, error.to_string()).hint("prepare it again from its origin")
        }
    }
}

/// The failure for a checkpoint that cannot be read.
pub(crate) fn checkpoint_failure(error: &Error) -> Failure {
    let failure = Failure::new(Kind::Config, error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
