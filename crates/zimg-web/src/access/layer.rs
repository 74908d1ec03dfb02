//! Layers: the checks of every request, and the user of those that need one.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::origin;
use crate::App;
use crate::problem::{Problem, Reason};
use crate::server::limits;

/// Refuses foreign hosts, pages of other sites, and bodies that a form of such a page could send.
pub(crate) async fn checked(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    check_host(&app, &request)?;
    let path = request.uri().path();
    if limits::is_api(path) {
        origin::check(request.method(), request.headers())?;
        check_type(request.method(), request.headers(), path)?;
    }
    Ok(next.run(limits::limited(request)?).await)
}

/// Finds the user for whom a request is made.
pub(crate) async fn signed_in(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let user = app.access.user(request.headers())?;
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

fn check_host(app: &App, request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let host = hosts.next().ok_or_else(|| Problem::invalid("the request has no Host header"))?;
    if hosts.next().is_some() {
        return Err(Problem::invalid("the request has two Host headers"));
    }
    let allow = |authority: &str| app.access.0.hosts.allow(authority);
    let whole = request.uri().authority().is_none_or(|authority| allow(authority.as_str()));
    if whole && host.to_str().is_ok_and(allow) {
        return Ok(());
    }
    Err(Problem::new(Reason::Forbidden, "the server is not asked under this host name")
        .hint("name it with --host NAME"))
}

/// A body that is not JSON could come from a form of another site without a question first.
fn check_type(method: &Method, headers: &HeaderMap, path: &str) -> Result<(), Problem> {
    let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    let has_body = length || headers.contains_key(TRANSFER_ENCODING);
    if !has_body || matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case("application/json") || limits::takes_type(path, given) {
        return Ok(());
    }
    Err(Problem::new(Reason::Media, "the body's Content-Type is not application/json"))
}
