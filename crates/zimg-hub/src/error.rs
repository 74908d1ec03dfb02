//! What can fail while a checkpoint is fetched; each error names the object, what was found and what
//! was expected.

use std::io;
use std::time::Duration;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a fetch; its display is one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of a repository is no such name.
    #[error("`{text}` is no repository: expected OWNER/NAME or OWNER/NAME:VARIANT")]
    InvalidRepository {
        /// As typed.
        text: String,
    },
    /// The name of a revision is no such name.
    #[error("`{text}` is no revision: expected a branch, a tag or a commit")]
    InvalidRevision {
        /// As typed.
        text: String,
    },
    /// A variable of the environment has a value that cannot be used.
    #[error("{variable} is `{value}`, but must be {expected}")]
    InvalidVariable {
        /// Its name.
        variable: &'static str,
        /// Its value, without a password.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The environment forbids any connection.
    #[error("{variable} is set, so nothing is fetched")]
    Offline {
        /// The variable that forbids it.
        variable: &'static str,
    },
    /// No connection to the server, or it does not answer in time.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        host: String,
        /// What the system or the library reported.
        reason: String,
    },
    /// The server answers, but only with errors of its own.
    #[error("{host} answers with the error {status}")]
    ServerError {
        /// The server.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection breaks or stalls each time, and no more bytes come.
    #[error("the download of {file} from {host} breaks off again and again: {reason}")]
    Interrupted {
        /// The file.
        file: String,
        /// The server.
        host: String,
        /// How it broke off the last time.
        reason: String,
    },
    /// There is no such repository or revision, or it is private.
    #[error("{host} has no {object}")]
    NotFound {
        /// The server.
        host: String,
        /// What was asked for.
        object: String,
    },
    /// The repository has no such variant.
    #[error("{repository} has no variant `{variant}`: there are {there}")]
    NoVariant {
        /// The repository.
        repository: String,
        /// As typed.
        variant: String,
        /// Those that exist, with their sizes.
        there: String,
    },
    /// The repository has several variants, and none was named.
    #[error("{repository} has several variants, name one: {there}")]
    SeveralVariants {
        /// The repository.
        repository: String,
        /// Those that exist, with their sizes.
        there: String,
    },
    /// Nothing in the repository is a checkpoint.
    #[error("{repository} has no checkpoint: no model_index.json and no file of weights")]
    NoCheckpoint {
        /// The repository.
        repository: String,
    },
    /// Nothing in the repository can be a LoRA.
    #[error("{repository} has no LoRA: no safetensors file beside those of a model's components")]
    NoLora {
        /// The repository.
        repository: String,
    },
    /// A folder of the diffusers layout lacks a file.
    #[error("{repository} is not complete: it has no {file}")]
    Incomplete {
        /// The repository.
        repository: String,
        /// What is missing.
        file: String,
    },
    /// The server asks for a token, or the user has no access.
    #[error("{host} does not give {object} {to}")]
    Denied {
        /// The server.
        host: String,
        /// What was asked for.
        object: String,
        /// To whom: without a token, or to this token's user.
        to: &'static str,
        /// The page on which access is granted.
        page: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// Too many requests, for longer than is waited.
    #[error("{host} takes no more requests for now")]
    RateLimited {
        /// The server.
        host: String,
        /// The time that the server names.
        wait: Option<Duration>,
    },
    /// Redirects lead in circles or to where a secure connection ends.
    #[error("{host} redirects {object} {how}")]
    BadRedirect {
        /// The server.
        host: String,
        /// What was asked for.
        object: String,
        /// How: too often, without a place, to an insecure connection.
        how: String,
    },
    /// The answer of the API is no list of files.
    #[error("the answer of {host} about {object} is not valid: {reason}")]
    BadAnswer {
        /// The server.
        host: String,
        /// What was asked for.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file's content is something else.
    #[error("{host} sends {found} instead of {file}")]
    WrongContent {
        /// The server.
        host: String,
        /// The file.
        file: String,
        /// What it is: a web page, an LFS pointer, another length.
        found: String,
    },
    /// The content has another checksum, twice.
    #[error("{file} from {host} has the checksum {found}, but the list of files has {expected}")]
    Mismatch {
        /// The server.
        host: String,
        /// The file.
        file: String,
        /// The computed checksum.
        found: String,
        /// The checksum in the list.
        expected: String,
    },
    /// The files do not fit onto the disk.
    #[error("{folder} has {free} free, but {needed} are needed")]
    NoSpace {
        /// The cache.
        folder: String,
        /// Free bytes, in words.
        free: String,
        /// Bytes to fetch, in words.
        needed: String,
    },
    /// The disk became full.
    #[error("the disk of {folder} is full")]
    DiskFull {
        /// The cache.
        folder: String,
    },
    /// The cache takes no files.
    #[error("cannot write to the cache {path}: {source}")]
    CacheUnwritable {
        /// The folder or file.
        path: String,
        /// What the system reported.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("cannot read or write {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system reported.
        source: io::Error,
    },
    /// No folder for the cache is known.
    #[error("there is no folder for the cache: HOME is not set")]
    NoHome,
    /// Another part of the pull has failed, or the caller stopped it.
    #[error("the download was stopped")]
    Stopped,
}

impl Error {
    /// From an error of writing to the cache.
    pub(crate) fn writing(path: &std::path::Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { folder: path }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::IsADirectory => Self::CacheUnwritable { path, source },
            _ => Self::Io { path, source },
        }
    }
}
