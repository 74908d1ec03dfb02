//! Progress of a pull, as the caller is told.

use std::time::Duration;

/// Progress of a pull. Files have their numbers in the plan.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another program downloads the file; its end is waited for.
    Locked {
        /// The file.
        file: usize,
    },
    /// The download begins after these bytes, which are there already.
    Start {
        /// The file.
        file: usize,
        /// Bytes.
        bytes: u64,
    },
    /// More bytes have come.
    Bytes {
        /// The file.
        file: usize,
        /// Bytes.
        bytes: u64,
    },
    /// All bytes are fetched again.
    Restart {
        /// The file.
        file: usize,
        /// Those that were there.
        bytes: u64,
        /// Why.
        reason: String,
    },
    /// The connection broke; the download continues after a pause.
    Retry {
        /// The file.
        file: usize,
        /// Why.
        reason: String,
        /// The pause.
        pause: Duration,
    },
    /// The file is in the cache and verified.
    Finished {
        /// The file.
        file: usize,
    },
}
