//! A failure in `--json` output: kind, exit code, message and hint.

use serde::Serialize;
use zimg_client::{Failure, Kind};

/// The fields of a failure.
#[derive(Serialize)]
pub(crate) struct FailureFields<'a> {
    kind: &'static str,
    code: u8,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Failure> for FailureFields<'a> {
    fn from(failure: &'a Failure) -> Self {
        let kind = match failure.kind {
            Kind::Usage => "usage",
            Kind::Refused => "refused",
            Kind::Unavailable => "unavailable",
            Kind::Internal => "internal",
            Kind::CannotCreate => "cannot_create",
            Kind::Io => "io",
            Kind::Busy => "busy",
            Kind::Version => "version",
            Kind::Permission => "permission",
            Kind::Config => "config",
            Kind::Cancelled => "cancelled",
            Kind::NotFound => "not_found",
        };
        let code = failure.kind.exit_code();
        Self { kind, code, message: &failure.message, hint: failure.hint.as_deref() }
    }
}

/// The last line of a command that fails.
#[derive(Serialize)]
#[serde(tag = "event", rename = "failed")]
pub(crate) struct FailedEvent<'a> {
    #[serde(flatten)]
    failure: FailureFields<'a>,
}

impl<'a> From<&'a Failure> for FailedEvent<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self { failure: failure.into() }
    }
}
