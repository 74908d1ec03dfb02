//! `POST wake`: the model is loaded before a prompt needs it.

use axum::extract::State;
use axum::http::StatusCode;

use crate::App;
use crate::access::User;
use crate::problem::Problem;

pub(super) async fn wake(State(app): State<App>, _: User) -> Result<StatusCode, Problem> {
    app.daemon.wake().await?;
    Ok(StatusCode::NO_CONTENT)
}
