//! Names of log events: docs/web.md lists them.

/// It listens.
pub(crate) const LISTENING: &str = "listening";
/// It does not start.
pub const START_FAILED: &str = "start_failed";
/// A client was not accepted.
pub(crate) const ACCEPT_FAILED: &str = "accept_failed";
/// The changed file of keys is not taken.
pub(crate) const KEYS_UNREADABLE: &str = "keys_unreadable";
/// A thread has panicked.
pub(crate) const PANICKED: &str = "panicked";
