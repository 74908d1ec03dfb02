//! Names of the structured log events: the `event` field of each line that tests and operators
//! filter by. Names are stable, sentences are not; docs/operations.md lists them.

/// The socket accepts connections: `version`, `model`, `socket`.
pub(crate) const LISTENING: &str = "listening";
/// The daemon cannot start: `code`.
pub const START_FAILED: &str = "start_failed";
/// A connection cannot be accepted; logged at most once a minute.
pub(crate) const ACCEPT_FAILED: &str = "accept_failed";
/// A client has closed its connection: `client` (debug).
pub(crate) const CONNECTION_CLOSED: &str = "connection_closed";
/// The daemon has closed a connection: `client` (debug).
pub(crate) const CONNECTION_DROPPED: &str = "connection_dropped";
/// The service manager's notification socket refuses a message (debug).
pub(crate) const NOTIFY_FAILED: &str = "notify_failed";
/// At shutdown, clients have not read all of their answers.
pub(crate) const CLIENTS_UNFINISHED: &str = "clients_unfinished";
/// The daemon has stopped.
pub(crate) const STOPPED: &str = "stopped";
