//! Shapes of errors: ours, OpenAI's and A1111's, chosen by the path that was asked.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

use super::{Problem, Reason};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Open WebUI shows the reason phrase alone of an error. Proxies cut long ones.
const PHRASE_MAX: usize = 120;

/// Which API's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Ours,
    OpenAi,
    A1111,
}

impl Shape {
    /// The shape for a path.
    pub(crate) fn of(path: &str) -> Self {
        let under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match path {
            _ if under("/v1") => Self::OpenAi,
            _ if under("/sdapi") => Self::A1111,
            _ => Self::Ours,
        }
    }
}

impl Problem {
    /// The body of an error of `/zimg/v1`.
    pub fn ours(&self) -> Value {
        json!({"error": {
            "kind": self.reason.word(),
            "message": self.message,
            "hint": self.hint,
            "param": self.param,
            "retry_after_ms": self.retry_after.map(|pause| pause.as_millis() as u64),
        }})
    }

    /// The body of an error of `/v1`.
    pub fn openai(&self) -> Value {
        json!({"error": {
            "message": self.with_hint(),
            "type": self.reason.openai_type(),
            "param": self.param,
            "code": self.code.unwrap_or(self.reason.word()),
        }})
    }

    /// The body of an error of `/sdapi/v1`.
    pub fn a1111(&self) -> Value {
        json!({
            "error": self.reason.word(),
            "detail": self.with_hint(),
            "body": "",
            "errors": self.message,
        })
    }

    fn with_hint(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// The message as a reason phrase: one line of visible ASCII.
    fn phrase(&self) -> Option<ReasonPhrase> {
        let mut phrase: String = self
            .message
            .chars()
            .map(|c| match c {
                ' '..='~' => c,
                '\u{2013}' | '\u{2014}' => '-',
                '\u{d7}' => 'x',
                c if c.is_whitespace() => ' ',
                _ => '?',
            })
            .take(PHRASE_MAX)
            .collect();
        phrase.truncate(phrase.trim_end().len());
        (!phrase.is_empty()).then(|| ReasonPhrase::try_from(phrase.into_bytes()).ok())?
    }
}

/// The response of a problem.
pub(super) fn respond(problem: &Problem, shape: Shape) -> Response {
    let body = match shape {
        Shape::Ours => problem.ours(),
        Shape::OpenAi => problem.openai(),
        Shape::A1111 => problem.a1111(),
    };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = problem.reason.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(pause) = problem.retry_after {
        let seconds = pause.as_millis().div_ceil(1000).max(1);
        headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    if let Some(again) = problem.reason.should_retry() {
        let again = if again { "true" } else { "false" };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(again));
    }
    if problem.reason == Reason::NoKey {
        // Browsers ask for a password on `Basic` only: the page has a field of its own.
        let scheme = if shape == Shape::A1111 { "Basic realm=\"zimg\"" } else { "Bearer" };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    if let Some(phrase) = problem.phrase() {
        response.extensions_mut().insert(phrase);
    }
    response.extensions_mut().insert(problem.clone());
    response
}

/// Gives each problem the shape of the API that was asked. The outermost layer.
pub(crate) async fn shaped(request: Request, next: Next) -> Response {
    let shape = Shape::of(request.uri().path());
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        Some(problem) if shape != Shape::Ours => respond(problem, shape),
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_path_decides_the_shape() {
        let expected = [
            ("/v1/images/generations", Shape::OpenAi),
            ("/v1", Shape::OpenAi),
            ("/v1beta", Shape::Ours),
            ("/sdapi/v1/txt2img", Shape::A1111),
            ("/zimg/v1/jobs", Shape::Ours),
            ("/", Shape::Ours),
        ];
        for (path, shape) in expected {
            assert_eq!(Shape::of(path), shape, "{path}");
        }
    }

    #[test]
    fn the_sentence_is_the_reason_phrase_in_one_line_of_ascii() {
        let phrase = |message: &str| {
            let phrase = Problem::invalid(message).phrase()?;
            Some(String::from_utf8(phrase.as_bytes().to_vec()).unwrap())
        };
        assert_eq!(phrase("`size` is 3\u{d7}4\nno").as_deref(), Some("`size` is 3x4 no"));
        assert_eq!(phrase("é\r\nSet-Cookie: a").as_deref(), Some("?  Set-Cookie: a"));
        assert_eq!(phrase(&"x".repeat(500)).unwrap().len(), PHRASE_MAX);
        assert_eq!(phrase(""), None);
    }

    #[test]
    fn every_reason_has_headers_that_sdks_follow() {
        for reason in Reason::ALL {
            let response = respond(&Problem::new(reason, "no"), Shape::OpenAi);
            let status = response.status().as_u16();
            let retried = matches!(status, 408 | 409 | 429) || status >= 500;
            let says = response.headers().get(SHOULD_RETRY).map(|value| value == "true");
            assert_eq!(says.is_some(), retried || status == 499, "{reason:?}");
            assert_eq!(says == Some(true), response.headers().contains_key(RETRY_AFTER));
            assert_eq!(status == 401, response.headers().contains_key(WWW_AUTHENTICATE));
        }
        let pause = Problem::new(Reason::Busy, "full").retry_after(Duration::from_millis(1200));
        assert_eq!(respond(&pause, Shape::Ours).headers()[RETRY_AFTER], "2");
    }
}
