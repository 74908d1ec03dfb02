//! Reasons of problems, with what HTTP and each API call them.

use axum::http::StatusCode;

/// The class of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is malformed, or a parameter is refused.
    Invalid,
    /// No key, or none that is known.
    NoKey,
    /// The host, the origin or the key is not allowed.
    Forbidden,
    /// It does not exist, or belongs to another user.
    NotFound,
    /// The method does not fit the path.
    Method,
    /// The state of what was asked for does not allow it.
    Conflict,
    /// The body is too long.
    TooLarge,
    /// The body's type is not taken.
    Media,
    /// What the body says is not understood.
    Unprocessable,
    /// There is no place now.
    Busy,
    /// The job was cancelled, or the client has left.
    Cancelled,
    /// The worker failed on this job: it would fail again.
    WorkerFailed,
    /// An error of zimg.
    Internal,
    /// Not part of this version.
    NotImplemented,
    /// No daemon answers.
    Unavailable,
    /// The daemon's or this program's configuration is wrong.
    Misconfigured,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Invalid,
        Self::NoKey,
        Self::Forbidden,
        Self::NotFound,
        Self::Method,
        Self::Conflict,
        Self::TooLarge,
        Self::Media,
        Self::Unprocessable,
        Self::Busy,
        Self::Cancelled,
        Self::WorkerFailed,
        Self::Internal,
        Self::NotImplemented,
        Self::Unavailable,
        Self::Misconfigured,
    ];

    /// The status of a response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NoKey => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Media => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            // nginx's number for a client that has left; RFC 9110 has none.
            Self::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::WorkerFailed | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable | Self::Misconfigured => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word in errors of `/zimg/v1`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "refused",
            Self::NoKey => "no_key",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Media => "media",
            Self::Unprocessable => "unprocessable",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::WorkerFailed => "worker_failed",
            Self::Internal => "internal",
            Self::NotImplemented => "not_implemented",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }

    /// The `type` of OpenAI's errors.
    pub(crate) fn openai_type(self) -> &'static str {
        match self {
            Self::NoKey => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::Busy => "rate_limit_error",
            Self::WorkerFailed | Self::Internal | Self::Unavailable | Self::Misconfigured => {
                "server_error"
            }
            _ => "invalid_request_error",
        }
    }

    /// Whether the same request can succeed soon.
    pub(crate) fn is_temporary(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable)
    }

    /// What `x-should-retry` tells the OpenAI SDKs: without it they send a request three times
    /// after any status from 500 on, and would have a job that kills the worker generated thrice.
    pub(crate) fn should_retry(self) -> Option<bool> {
        match self {
            Self::Busy | Self::Unavailable => Some(true),
            Self::WorkerFailed
            | Self::Internal
            | Self::NotImplemented
            | Self::Misconfigured
            | Self::Conflict
            | Self::Cancelled => Some(false),
            _ => None,
        }
    }
}
