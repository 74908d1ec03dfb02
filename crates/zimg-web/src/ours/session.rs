//! `session`: whether this browser is signed in, signing in and out.

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::access::{Login, Signed};
use crate::problem::Problem;
use crate::server::body::Json;

/// What signs a user in.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignIn {
    /// The key that was given to the user.
    Key(String),
    /// The token of `zimg web`'s link.
    Token(String),
}

pub(super) async fn session(State(app): State<App>, headers: HeaderMap) -> axum::Json<Value> {
    let login = match app.access.login() {
        Login::None => "none",
        Login::Token(_) => "token",
        Login::Keys(_) => "key",
    };
    let user = app.access.user(&headers).ok();
    let name = user.as_ref().and_then(|user| user.name());
    axum::Json(json!({"login": login, "signed_in": user.is_some(), "user": name}))
}

pub(super) async fn sign_in(
    State(app): State<App>,
    Json(with): Json<SignIn>,
) -> Result<impl IntoResponse, Problem> {
    let secure = app.config.is_secure();
    let Signed(cookie) = match with {
        SignIn::Key(text) => app.access.sign_in_with_key(&text, secure)?,
        SignIn::Token(text) => app.access.sign_in_with_token(&text, secure)?,
    };
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

pub(super) async fn sign_out(State(app): State<App>) -> impl IntoResponse {
    let Signed(cookie) = app.access.sign_out(app.config.is_secure());
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)])
}
