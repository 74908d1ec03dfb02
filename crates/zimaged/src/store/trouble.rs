//! What can go wrong with the disk, and what a user is told of it.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use zimg_protocol::{Failure, Kind};

/// Why something was not kept, or not found again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// What is there is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// Another daemon has the folder: " (process 7)", or nothing where that is not known.
    #[error("another zimaged{0} keeps its jobs there")]
    Held(String),
    /// A later version has written it.
    #[error("a newer zimaged has written them (in format {0})")]
    Newer(i64),
    /// There is no such job.
    #[error("there is no job {0}")]
    Missing(u64),
    /// The system does not let it be done.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The same, or what SQLite makes of a damaged file; [`Trouble::is_damage`] tells.
    #[error("{}", words(.0))]
    Sqlite(#[from] rusqlite::Error),
}

impl Trouble {
    /// Whether the files themselves are bad, and not the system around them.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(error) => !matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::CannotOpen
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::DiskFull
                        | ErrorCode::NoLargeFileSupport
                        | ErrorCode::OutOfMemory
                        | ErrorCode::PermissionDenied
                        | ErrorCode::ReadOnly
                        | ErrorCode::SystemIoFailure
                )
            ),
            _ => false,
        }
    }

    /// The sentence, for the folder that it is about.
    pub(crate) fn failure(&self, folder: &Path) -> Failure {
        let at = folder.display();
        match self {
            Self::Missing(job) => Failure::new(Kind::Refused, format!("there is no job {job}")),
            Self::Damaged(what) => {
                Failure::new(Kind::Io, format!("jobs kept in {at} are damaged: {what}"))
            }
            Self::Held(_) => Failure::new(Kind::Busy, format!("cannot keep jobs in {at}: {self}"))
                .hint("give each zimaged a folder of its own with state_dir"),
            Self::Newer(_) => {
                Failure::new(Kind::Version, format!("cannot keep jobs in {at}: {self}"))
                    .hint("upgrade zimaged, or give this one another folder with state_dir")
            }
            Self::Io(_) | Self::Sqlite(_) => {
                Failure::new(Kind::Io, format!("cannot keep jobs in {at}: {self}"))
                    .hint("make room there or make it writable, or name another folder: state_dir")
            }
        }
    }
}

/// SQLite's own words, without the statement that it was about.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(words)) if code.code != ErrorCode::Unknown => {
            words.clone()
        }
        other => other.to_string(),
    }
}
