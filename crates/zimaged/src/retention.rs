//! The configured limits of detached jobs.

use std::time::Duration;

/// How much detached jobs may take, and how long they stay after their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// How long a job stays after its end, in time that the daemon runs.
    pub time: Duration,
    /// Bytes of all jobs together.
    pub bytes: u64,
    /// Bytes of one user's.
    pub bytes_per_user: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self::of(Duration::from_secs(7 * 24 * 3600), 4 << 30)
    }
}

impl Retention {
    /// So long, and so much, of which one user may have half.
    pub(crate) fn of(time: Duration, bytes: u64) -> Self {
        Self { time, bytes, bytes_per_user: bytes / 2 }
    }
}
