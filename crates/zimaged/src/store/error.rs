//! Errors of the job store, and the one place where they become sentences for the user.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use zimg_protocol::messages::JobId;
use zimg_protocol::{Failure, Kind};

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file differs from what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Another daemon has locked the directory: " (process 7)", or "" if its id is not known.
    #[error("another zimaged{0} stores its jobs there")]
    Locked(String),
    /// A later version of zimaged has written the database.
    #[error("a newer zimaged has written them (in format {0})")]
    NewerFormat(i64),
    /// The job is not in the database.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The system refuses an operation.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// SQLite refuses an operation, or finds damage; [`StoreError::is_damage`] tells them apart.
    #[error("{}", sqlite_message(.0))]
    Sqlite(#[from] rusqlite::Error),
}

/// How a file differs from what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("image {index} of job {job} is missing")]
    ImageMissing { job: JobId, index: u32 },
    #[error("image {index} of job {job} has changed")]
    ImageChanged { job: JobId, index: u32 },
    #[error("image input {index} of job {job} is missing")]
    InputMissing { job: JobId, index: u32 },
    #[error("image input {index} of job {job} has changed")]
    InputChanged { job: JobId, index: u32 },
    #[error("there are images, but no database of their jobs")]
    NoDatabase,
    #[error("the database is cut off")]
    CutOff,
    #[error("the database does not begin with SQLite's header")]
    Header,
    #[error("the database is not one of zimaged's")]
    Foreign,
    #[error("the database's checksum does not match")]
    Checksum,
    /// SQLite's `integrity_check`.
    #[error("{0}")]
    Integrity(String),
    #[error("the record of job {job} cannot be read: {reason}")]
    Record { job: JobId, reason: String },
    #[error("a record cannot be encoded: {0}")]
    Encoding(String),
    #[error("the number {0} is out of range")]
    Range(u64),
}

impl StoreError {
    /// Whether the files themselves are damaged, as opposed to the system around them.
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

    /// The sentence for the user about the store in `directory`.
    pub(crate) fn failure(&self, directory: &Path) -> Failure {
        let at = directory.display();
        match self {
            Self::NoSuchJob(job) => Failure::new(Kind::Refused, format!("there is no job {job}")),
            Self::Damaged(damage) => {
                Failure::new(Kind::Io, format!("the jobs stored in {at} are damaged: {damage}"))
            }
            Self::Locked(_) => {
                Failure::new(Kind::Busy, format!("cannot store jobs in {at}: {self}"))
                    .hint("give each zimaged its own directory with state_dir")
            }
            Self::NewerFormat(_) => {
                Failure::new(Kind::Version, format!("cannot store jobs in {at}: {self}"))
                    .hint("upgrade zimaged, or give this one another directory with state_dir")
            }
            Self::Io(_) | Self::Sqlite(_) => {
                Failure::new(Kind::Io, format!("cannot store jobs in {at}: {self}")).hint(
                    "free space there, make it writable, or set another directory with state_dir",
                )
            }
        }
    }
}

/// SQLite's message without the statement that it is about.
fn sqlite_message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(message)) if code.code != ErrorCode::Unknown => {
            message.clone()
        }
        other => other.to_string(),
    }
}
