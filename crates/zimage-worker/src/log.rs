//! The worker's log: standard error, which the supervisor reads line by line.

use std::fmt::Display;
use std::io::Write;

/// Writes one line.
pub(crate) fn line(text: impl Display) {
    // Without a reader the line is lost, and so is this error.
    let _ = writeln!(std::io::stderr(), "{text}");
}
