//! The kinds of progress output, and which one is used.

use std::io::{self, IsTerminal};

use crate::format;

/// The kind of progress output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportStyle {
    /// `--json`: lines on standard output, nothing on standard error.
    Json,
    /// `-q`: nothing.
    Quiet,
    /// One line on standard error that changes in place.
    Line,
    /// Lines on standard error, as for a log.
    Plain,
}

impl ReportStyle {
    /// From the options and standard error.
    pub(crate) fn choose(json: bool, quiet: bool) -> Self {
        match () {
            () if json => Self::Json,
            () if quiet => Self::Quiet,
            () if io::stderr().is_terminal() && !format::is_dumb() => Self::Line,
            () => Self::Plain,
        }
    }
}
