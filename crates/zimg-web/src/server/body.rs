//! Bodies of requests: read whole within a limit and a time, and JSON of them.

use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::limits;
use crate::problem::{Problem, Reason};

/// A body that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bodies above this length are read a few at a time.
const LARGE: usize = 1 << 20;
static LARGE_BODIES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// A whole body.
#[derive(Clone, Debug)]
pub(crate) struct Whole(pub Bytes);

/// A body as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<T>(pub T);

impl<S: Sync> FromRequest<S> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let most = limits::body_max(request.uri().path());
        let read = async {
            let _permit = if most > LARGE { LARGE_BODIES.acquire().await.ok() } else { None };
            request.into_body().collect().await
        };
        match timeout(TIMEOUT, read).await {
            Ok(Ok(body)) => Ok(Self(body.to_bytes())),
            Ok(Err(error)) if is_too_long(&error) => Err(limits::too_large(most)),
            Ok(Err(_)) => Err(Problem::invalid("the body ended before its end")),
            Err(_) => Err(Problem::new(
                Reason::Invalid,
                format!("the body did not come within {} s", TIMEOUT.as_secs()),
            )),
        }
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Whole(bytes) = Whole::from_request(request, state).await?;
        from_json(&bytes).map(Self)
    }
}

/// Bytes as JSON. The depth is bounded by serde_json, at 128.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        // Syntax errors say a place; neither quotes the text, which may be a prompt.
        let what = if error.is_data() { "is not what is expected" } else { "is not JSON" };
        let (line, column) = (error.line(), error.column());
        let found =
            if error.is_data() { format!(": {}", data_error(&error)) } else { String::new() };
        Problem::invalid(format!("the body {what} (line {line}, column {column}){found}"))
    })
}

/// serde's sentence without its place.
fn data_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().chars().take(200).collect()
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
