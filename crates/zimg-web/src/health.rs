//! Probes and metrics: `/healthz`, `/readyz`, `/metrics`.

use std::fmt::Write;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use zimg_client::WorkerState;

use crate::App;
use crate::daemon::Overview;
use crate::problem::{Problem, Reason};

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Whether a job is taken now. A proxy sends jobs elsewhere while it is not.
async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let overview = app.daemon.overview().await?;
    let failed = |worker: &WorkerState| match worker {
        WorkerState::Failed(failure) => Some(failure.clone()),
        _ => None,
    };
    let mut workers = overview.status.workers.iter();
    if workers.len() > 0 && workers.all(|worker| failed(&worker.state).is_some()) {
        let failure = failed(&overview.status.first_worker().state);
        return Err(failure.map_or_else(
            || Problem::new(Reason::Misconfigured, "no worker can run"),
            Problem::from,
        ));
    }
    if overview.unfinished >= overview.limits.jobs {
        // Not 429: a proxy takes 503 for "elsewhere".
        return Err(Problem::new(Reason::Unavailable, "the queue is full"));
    }
    Ok("ready\n")
}

/// What is served here, for Prometheus; `zimg metrics` has the daemon's own.
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let overview = app.daemon.overview().await.ok();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text(overview.as_deref()))
}

fn text(overview: Option<&Overview>) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# HELP zimg_web_{name} {help}\n# TYPE zimg_web_{name} gauge\nzimg_web_{name} {value}\n"
        );
    };
    gauge("daemon_up", "Whether zimaged answers.", u64::from(overview.is_some()));
    if let Some(overview) = overview {
        gauge("jobs_unfinished", "Jobs of zimaged that wait or run.", overview.unfinished.into());
        gauge("jobs_limit", "The most jobs that zimaged takes.", overview.limits.jobs.into());
    }
    text
}
