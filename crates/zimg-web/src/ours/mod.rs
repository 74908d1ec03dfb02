//! The API of zimg, at `/zimg/v1`: for the page, and for scripts.

pub(crate) mod images;
mod session;
mod wake;

use axum::Router;
use axum::routing::{get, post};

use crate::App;

/// The routes of users.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/images/{id}", get(images::get).delete(images::delete))
        .route("/wake", post(wake::wake))
}

/// The route by which a user signs in.
pub(crate) fn open_router() -> Router<App> {
    Router::new()
        .route("/session", get(session::session).post(session::sign_in).delete(session::sign_out))
}
