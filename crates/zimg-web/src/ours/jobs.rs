//! `jobs`: submitting detached jobs, listing, cancelling and deleting them.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zimg_client::params::check_seeds;
use zimg_client::{Generate, JobId, JobInfo, JobState, Params, Priority, Started};

use super::sent_images::{self as images, SentImage};
use super::{job, params};
use crate::App;
use crate::access::User;
use crate::problem::{Problem, Reason};
use crate::server::body::Json;

/// Jobs in one answer.
const LIMIT: usize = 60;
const LIMIT_MAX: usize = 500;

/// A request for images.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    params: Map<String, Value>,
    #[serde(default)]
    priority: Urgency,
    #[serde(default)]
    images: Vec<SentImage>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Urgency {
    #[default]
    Interactive,
    Batch,
}

/// Which part of a list.
#[derive(Deserialize)]
pub(super) struct Part {
    limit: Option<usize>,
    before: Option<String>,
}

pub(super) async fn submit(
    State(app): State<App>,
    user: User,
    Json(submission): Json<Submission>,
) -> Result<impl IntoResponse, Problem> {
    let mut params = params::from_json(&submission.params)?;
    let images = match images::files(submission.images)? {
        Some(files) => Some(app.daemon.decode(files, &mut params).await?),
        None => None,
    };
    if params.seed.is_none() {
        params.seed = Some(random_seed(params.images())?);
    }
    let request = Generate {
        priority: match submission.priority {
            Urgency::Interactive => Priority::Interactive,
            Urgency::Batch => Priority::Batch,
        },
        previews: true,
        ..Generate::new(params.clone())
    };
    let (job, position) = app.daemon.submit(&user, request.clone(), images).await?;
    app.tracker.submitted(&user, job, position, params.clone());
    let info = submitted(job, position, &request);
    let object = job::object(&info, Some(&(params, None)), None);
    let location = format!("/zimg/v1/jobs/{job}");
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], axum::Json(object)))
}

/// What the daemon will list of a job that it has accepted.
fn submitted(job: JobId, position: u32, request: &Generate) -> JobInfo {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    JobInfo {
        job,
        uid: 0,
        on_behalf_of: None,
        state: JobState::Waiting { position },
        priority: request.priority,
        detached: true,
        width: request.params.width,
        height: request.params.height,
        seed: request.params.first_seed(),
        count: request.params.images(),
        generated: 0,
        accepted_unix_s: now.map_or(0, |since| since.as_secs()),
        prompt: request.params.prompt.clone(),
    }
}

/// A seed that people can read and other programs take: below 2^32, as that of `zimg`.
pub(crate) fn random_seed(images: u32) -> Result<u64, Problem> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes[..], GetRandomFlags::empty())
        .map_err(|error| Problem::new(Reason::Internal, error.to_string()))?;
    let seed = u64::from(u32::from_ne_bytes(bytes));
    check_seeds(seed, images.into())?;
    Ok(seed)
}

pub(super) async fn list(
    State(app): State<App>,
    user: User,
    part: Result<Query<Part>, axum::extract::rejection::QueryRejection>,
) -> Result<axum::Json<Value>, Problem> {
    let Ok(Query(part)) = part else {
        return Err(Problem::invalid("`limit` is not a number").param("limit"));
    };
    let limit = part.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let before = part.before.as_deref().map(id).transpose()?.unwrap_or(JobId::MAX);
    let mut jobs = app.daemon.jobs(&user).await?;
    jobs.retain(|info| info.detached && info.job < before);
    jobs.sort_by_key(|info| std::cmp::Reverse(info.job));
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| more).map(|info| info.job.to_string());
    let expiries = app.daemon.expiries(&jobs).await;
    let expiries = expiries.as_deref().and_then(Option::as_ref);
    let object =
        |info: &JobInfo| job::object(info, app.tracker.details(info.job).as_ref(), expiries);
    let objects: Vec<_> = jobs.iter().map(object).collect();
    Ok(axum::Json(json!({"jobs": objects, "next": next})))
}

pub(super) async fn get(
    State(app): State<App>,
    user: User,
    Path(job): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let job = id(&job)?;
    let info = detached(&app, &user, job).await?;
    let details = match app.tracker.details(job) {
        Some((params, Some(started))) => Some((params, Some(started))),
        known => details(&app, &user, &info).await.or(known),
    };
    let expiries = app.daemon.expiries(std::slice::from_ref(&info)).await;
    let expiries = expiries.as_deref().and_then(Option::as_ref);
    Ok(axum::Json(job::object(&info, details.as_ref(), expiries)))
}

/// What a job was asked for, from the daemon's store.
async fn details(app: &App, user: &User, info: &JobInfo) -> Option<(Params, Option<Started>)> {
    let details = app.daemon.details(info.job, info.generated > 0).await.ok()?;
    app.tracker.note_details(user, info.job, &details.0, details.1.as_ref());
    Some(details)
}

pub(super) async fn delete(
    State(app): State<App>,
    user: User,
    Path(job): Path<String>,
) -> Result<StatusCode, Problem> {
    let job = id(&job)?;
    let info = detached(&app, &user, job).await?;
    let ended = matches!(info.state, JobState::Done | JobState::Failed(_));
    let deleted =
        if ended { app.daemon.forget(&info).await } else { app.daemon.cancel(&info).await };
    if let Err(problem) = deleted {
        // It may have ended in between.
        let now = app.daemon.job(&user, job).await;
        let ended =
            now.is_ok_and(|info| matches!(info.state, JobState::Done | JobState::Failed(_)));
        if !ended {
            return Err(problem);
        }
        app.daemon.forget(&info).await?;
    }
    app.tracker.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// A job of this user that goes on without a connection.
pub(super) async fn detached(app: &App, user: &User, job: JobId) -> Result<JobInfo, Problem> {
    let info = app.daemon.job(user, job).await?;
    if info.detached { Ok(info) } else { Err(no_such_job()) }
}

/// The id of a job in a path.
pub(super) fn id(text: &str) -> Result<JobId, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(no_such_job)
}

fn no_such_job() -> Problem {
    Problem::not_found("there is no job with this id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits() {
        assert_eq!(id("17").ok(), Some(17));
        for text in ["", "+17", "-1", "17.0", "1e3", "18446744073709551616", "１７", "../17"] {
            assert!(id(text).is_err(), "{text}");
        }
    }
}
