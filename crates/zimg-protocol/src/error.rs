//! What went wrong, as it crosses the wire: a kind, one sentence, what to do.

use std::fmt;

use serde::{Deserialize, Serialize};
use zimage_params::ParamsError;

/// The class of a failure; its number is the exit code (sysexits(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// 64: the command line is wrong.
    Usage,
    /// 65: prompt or parameters refused.
    Refused,
    /// 69: no daemon.
    Unavailable,
    /// 70: internal error or the worker failed.
    Internal,
    /// 73: the output cannot be created.
    CannotCreate,
    /// 74: reading or writing failed.
    Io,
    /// 75: busy, loading or shutting down; try again.
    Busy,
    /// 76: the two sides' versions do not fit.
    Version,
    /// 77: not allowed.
    Permission,
    /// 78: configuration or checkpoint is wrong.
    Config,
    /// 130: interrupted or cancelled.
    Cancelled,
    /// 66: what was asked for does not exist.
    NotFound,
}

impl Kind {
    /// The exit code that documents this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Refused => 65,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Busy => 75,
            Self::Version => 76,
            Self::Permission => 77,
            Self::Config => 78,
            Self::Cancelled => 130,
            Self::NotFound => 66,
        }
    }

    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Usage,
        Self::Refused,
        Self::NotFound,
        Self::Unavailable,
        Self::Internal,
        Self::CannotCreate,
        Self::Io,
        Self::Busy,
        Self::Version,
        Self::Permission,
        Self::Config,
        Self::Cancelled,
    ];

    /// The kind with this exit code.
    pub fn from_exit_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u16::from(kind.exit_code()) == code)
    }
}

/// A failure: its kind, one sentence a user can act on, and perhaps a hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class.
    pub kind: Kind,
    /// One sentence, without a full stop at its end.
    pub message: String,
    /// What to type or change, if it is known.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The message and the hint in one line, as logs have them.
    pub fn with_hint(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// A prompt or parameter that is refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ParamsError> for Failure {
    fn from(error: ParamsError) -> Self {
        Self { kind: Kind::Refused, message: error.to_string(), hint: error.hint() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
