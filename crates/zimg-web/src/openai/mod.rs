//! OpenAI's images API, at `/v1`: routes, and the translation of requests and answers.
//!
//! Names and forms are those of `types/image_generate_params.py`, `images_response.py`,
//! `image_gen_partial_image_event.py` and `image_gen_completed_event.py` of openai-python 3.57.

mod answer;
mod edits;
mod event_stream;
mod generations;
mod links;
mod models;
mod partial_images;
mod request;

use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::App;
use crate::problem::{Problem, Reason};
use crate::translate::RecentFailures;

/// The description of these routes.
const OPENAPI: &str = include_str!("openapi.json");

/// Its routes for users.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::one))
        .route("/images/generations", post(generations::generate).options(methods))
        .route("/images/edits", post(edits::edit))
        .route("/images/variations", post(no_variations))
        .route("/openapi.json", get(openapi))
        .layer(Extension(RecentFailures::default()))
}

/// Routes whose access a signature decides.
pub(crate) fn open_router() -> Router<App> {
    Router::new().route("/images/files/{id}", get(links::get))
}

/// SillyTavern looks for the route like this.
async fn methods() -> Response {
    let allow = HeaderValue::from_static("POST, OPTIONS");
    (StatusCode::NO_CONTENT, [(ALLOW, allow)]).into_response()
}

async fn no_variations() -> Problem {
    Problem::new(Reason::NotImplemented, "the model makes no variations without a prompt")
        .hint("send the image and a prompt to POST /v1/images/edits")
        .code("not_implemented")
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}
