//! Problem: why a request is not answered as it was meant, with what each API's error has of it.

mod reason;
mod shape;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use zimg_client::params::Parameter;
use zimg_client::{Busy, Failure, Kind, ParamsError};

pub use reason::Reason;
pub(crate) use shape::shaped;

/// A longer pause is not asked for: the OpenAI SDKs do not try again at all above 120 s.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// The pause if the daemon has no estimate.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request failed. As a response it has the shape of the API that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    reason: Reason,
    message: String,
    hint: Option<String>,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem for this reason; `message` is one sentence without a full stop at its end.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            hint: None,
            param: None,
            code: None,
            retry_after: reason.is_temporary().then_some(RETRY_AFTER),
        }
    }

    /// A request that is refused.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, message)
    }

    /// What does not exist, or belongs to another user.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Reason::NotFound, message)
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the field of the request that is wrong.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>) -> Self {
        self.param = Some(name.into());
        self
    }

    /// The same with OpenAI's word for it.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same with a pause until the next attempt, at most a minute.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause.min(RETRY_AFTER_MAX));
        self
    }

    /// The class.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do, if it is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The field of the request that is wrong.
    pub fn parameter(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The daemon's refusal of a job because it has no place.
    pub(crate) fn busy(busy: &Busy) -> Self {
        let problem = Self::from(busy.failure.clone());
        match busy.wait_ms {
            Some(wait) => problem.retry_after(Duration::from_millis(wait)),
            None => problem,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let reason = match failure.kind {
            Kind::Usage | Kind::Refused => Reason::Invalid,
            Kind::NotFound => Reason::NotFound,
            Kind::Unavailable => Reason::Unavailable,
            Kind::Internal => Reason::WorkerFailed,
            Kind::CannotCreate | Kind::Io => Reason::Internal,
            Kind::Busy => Reason::Busy,
            // zimg-web itself may not use the daemon, or not for its users.
            Kind::Version | Kind::Permission | Kind::Config => Reason::Misconfigured,
            Kind::Cancelled => Reason::Cancelled,
        };
        let param = named_parameter(&failure.message).map(str::to_owned);
        Self { hint: failure.hint, param, ..Self::new(reason, failure.message) }
    }
}

impl From<ParamsError> for Problem {
    fn from(error: ParamsError) -> Self {
        Failure::from(error).into()
    }
}

/// The parameter that a sentence begins with, as "`steps` is 0, expected …".
fn named_parameter(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("parameter ").unwrap_or(message);
    let (name, _) = rest.strip_prefix('`')?.split_once('`')?;
    (rest.len() < message.len() || Parameter::named(name).is_some()).then_some(name)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        shape::respond(&self, shape::Shape::Ours)
    }
}

#[cfg(test)]
mod tests {
    use zimg_client::Params;

    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_status() {
        let status = |kind| Problem::from(Failure::new(kind, "no")).reason().status().as_u16();
        let expected = [400, 400, 404, 503, 500, 500, 500, 429, 503, 503, 503, 499];
        assert_eq!(Kind::ALL.map(status), expected);
    }

    #[test]
    fn the_parameter_is_named() {
        let error = Params { steps: Some(0), ..Params::new("a fox") }.check().unwrap_err();
        let problem = Problem::from(error);
        assert_eq!((problem.reason, problem.param.as_deref()), (Reason::Invalid, Some("steps")));
        assert_eq!(problem.hint.as_deref(), Some("the nearest valid value is 1"));
        assert_eq!(named_parameter("parameter `x` is unknown"), Some("x"));
        assert_eq!(named_parameter("`x` is unknown"), None);
    }

    #[test]
    fn a_pause_is_a_minute_at_most() {
        let busy = |wait_ms| Busy { failure: Failure::new(Kind::Busy, "full"), depth: 9, wait_ms };
        let pause = |wait_ms| Problem::busy(&busy(wait_ms)).retry_after;
        assert_eq!(pause(None), Some(RETRY_AFTER));
        assert_eq!(pause(Some(700)), Some(Duration::from_millis(700)));
        assert_eq!(pause(Some(u64::MAX)), Some(RETRY_AFTER_MAX));
        assert_eq!(Problem::invalid("no").retry_after, None);
    }
}
