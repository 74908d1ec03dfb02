//! The router: which path is whose, and the layers around them.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::access::{checked, signed_in};
use crate::problem::shaped;
use crate::{App, a1111, assets, headers, health, openai, ours};

/// Everything that is served.
pub(crate) fn router(app: App) -> Router {
    let for_users = Router::new()
        .nest("/zimg/v1", ours::router())
        .nest("/v1", openai::router())
        .nest("/sdapi/v1", a1111::router())
        .route_layer(from_fn_with_state(app.clone(), signed_in));
    Router::new()
        .merge(for_users)
        .nest("/zimg/v1", ours::open_router())
        .nest("/v1", openai::open_router())
        .merge(health::router())
        .fallback(assets::asset)
        .method_not_allowed_fallback(method)
        .layer(from_fn_with_state(app.clone(), checked))
        .layer(from_fn(headers::secured))
        .layer(from_fn(shaped))
        .with_state(app)
}

async fn method() -> crate::problem::Problem {
    crate::problem::Problem::new(
        crate::problem::Reason::Method,
        "the path does not have this method",
    )
}
