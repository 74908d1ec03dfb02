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
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::App;

/// The description of these routes.
const OPENAPI: &str = include_str!("openapi.json");

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
        .route("/openapi.json", get(openapi))
}

/// The route by which a user signs in.
pub(crate) fn open_router() -> Router<App> {
    Router::new()
        .route("/session", get(session::session).post(session::sign_in).delete(session::sign_out))
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::OPENAPI;

    /// Paths with their methods, as the source above has them: a route is one line.
    fn routes() -> BTreeMap<String, BTreeSet<String>> {
        let source = include_str!("mod.rs").split("#[cfg(test)]").next().unwrap();
        let lines = source.split(".route(\"").skip(1);
        let route = |line: &str| {
            let (path, handlers) = line.split_once('"').unwrap();
            let handlers = handlers.lines().next().unwrap();
            let methods = ["get", "post", "put", "delete"];
            let has = |method: &&str| handlers.contains(&format!("{method}("));
            (path.to_owned(), methods.into_iter().filter(has).map(str::to_owned).collect())
        };
        lines.map(route).collect()
    }

    #[test]
    fn the_document_has_every_route_with_its_methods() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: BTreeMap<String, BTreeSet<String>> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, methods)| {
                (path.clone(), methods.as_object().unwrap().keys().cloned().collect())
            })
            .collect();
        let mut routes = routes();
        // The document itself.
        assert!(routes.remove("/openapi.json").is_some());
        assert!(routes.len() >= 11 && routes["/session"].len() == 3);
        assert_eq!(documented, routes);
    }
}
