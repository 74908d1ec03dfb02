//! Early exit of a command: a failure, a closed pipe or a signal.

use std::fmt::Display;
use std::io;

use nix::sys::signal::Signal;
use zimg_client::{Failure, Kind};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Exit {
    /// Printed on standard error; its kind is the exit code.
    Failed(Failure),
    /// The reader of standard output has closed it, as `head` does: no message, exit code 0.
    PipeClosed,
    /// This signal came: no message, exit code 128 plus its number.
    Signalled(Signal),
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Exit {
    /// From an error of writing to standard output.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        Self::writing(&"standard output", error)
    }

    /// From an error of writing to a descriptor.
    pub(crate) fn writing(to: &dyn Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::PipeClosed;
        }
        Failure::new(Kind::Io, format!("cannot write to {to}: {error}")).into()
    }
}
