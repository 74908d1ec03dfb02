//! The API of zimg, at `/zimg/v1`: for the page, and for scripts.

mod events;
pub(crate) mod images;
mod job;
pub(crate) mod jobs;
mod loras;
mod metadata;
pub(crate) mod params;
mod sent_images;
mod session;
mod status;
mod wake;

use axum::Router;
use axum::routing::{get, post};

use crate::App;

/// The routes of users.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/jobs", get(jobs::list).post(jobs::submit))
        .route("/jobs/{id}", get(jobs::get).delete(jobs::delete))
        .route("/jobs/{id}/events", get(events::of_job))
        .route("/events", get(events::all))
        .route("/images/{id}", get(images::get).delete(images::delete))
        .route("/status", get(status::status))
        .route("/loras", get(loras::loras))
        .route("/parameters", get(status::parameters))
        .route("/metadata", post(metadata::read))
        .route("/wake", post(wake::wake))
}

/// The route by which a user signs in.
pub(crate) fn open_router() -> Router<App> {
    Router::new()
        .route("/session", get(session::session).post(session::sign_in).delete(session::sign_out))
}
