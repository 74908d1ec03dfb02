//! `events`: what happens to the jobs of a user, or to one job, as server-sent events.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use zimg_client::{JobInfo, JobState};

use super::jobs::{detached, id};
use crate::App;
use crate::access::User;
use crate::problem::Problem;
use crate::tracker::{JobEvent, from_one};

pub(super) async fn all(
    State(app): State<App>,
    user: User,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let access = app.access.clone();
    let is_valid = move |user: &User| access.is_valid(user);
    app.tracker.stream(user, None, last(&headers), Vec::new(), is_valid)
}

pub(super) async fn of_job(
    State(app): State<App>,
    user: User,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = id(&job)?;
    let info = detached(&app, &user, job).await?;
    let access = app.access.clone();
    let is_valid = move |user: &User| access.is_valid(user);
    app.tracker.stream(user, Some(job), last(&headers), ended(&info), is_valid)
}

fn last(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id")?.to_str().ok()
}

/// The events of a job that has ended, as far as the list has them.
fn ended(info: &JobInfo) -> Vec<JobEvent> {
    let end = match &info.state {
        JobState::Done => JobEvent::Done { ms: None },
        JobState::Failed(failure) => JobEvent::Failed(failure.into()),
        _ => return Vec::new(),
    };
    let images = (0..info.generated).map(|index| JobEvent::Image {
        image: from_one(index),
        id: format!("{}-{}", info.job, from_one(index)),
        seed: info.seed.wrapping_add(index.into()).to_string(),
        width: info.width.unwrap_or(0),
        height: info.height.unwrap_or(0),
    });
    let first = std::iter::once(JobEvent::Accepted { position: 0 });
    first.chain(images).chain([end]).collect()
}
