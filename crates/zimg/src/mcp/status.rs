//! The tool `status`: the daemon, its model and the user's jobs.

use std::path::Path;

use serde_json::{Value, json};
use zimg_client::{Client, Failure, JobInfo, JobState, Overview, WorkerState};

use super::result::ToolResult;
use crate::version::PROGRAM;

/// Asks the daemon.
///
/// # Errors
///
/// No daemon answers.
pub(super) fn call(socket: &Path) -> Result<ToolResult, Failure> {
    let mut client = Client::connect(PROGRAM, socket)?;
    let (overview, jobs) = (client.overview()?, client.jobs()?);
    Ok(ToolResult::said(said(&overview, &jobs)))
}

fn said(overview: &Overview, jobs: &[JobInfo]) -> Value {
    let Overview { status, unfinished, wait_ms, .. } = overview;
    let model = status.model().map(|model| {
        json!({
            "name": model.name, "device": model.device, "width": model.width,
            "height": model.height, "steps": model.steps, "guidance": model.guidance,
            "side_max": model.capabilities.side_max,
        })
    });
    let jobs: Vec<_> = jobs
        .iter()
        .map(|job| {
            json!({
                "job": job.job, "state": state(&job.state), "images": job.count,
                "generated": job.generated, "detached": job.detached, "prompt": job.prompt,
            })
        })
        .collect();
    json!({
        "worker": worker(&status.first_worker().state),
        "model": model,
        "unfinished_jobs": unfinished,
        "wait_s": wait_ms.map(|ms| ms as f64 / 1000.0),
        "your_jobs": jobs,
    })
}

fn worker(state: &WorkerState) -> String {
    match state {
        WorkerState::Starting => "starting".to_owned(),
        WorkerState::Loading { done, total } => format!("loading: {done} of {total} bytes"),
        WorkerState::Warming => "warming up".to_owned(),
        WorkerState::Ready => "ready".to_owned(),
        WorkerState::Busy { job, step, of } => format!("busy with job {job}: step {step} of {of}"),
        WorkerState::Draining => "ending".to_owned(),
        WorkerState::Restarting { in_ms, reason } => {
            format!("restarting in {in_ms} ms: {reason}")
        }
        WorkerState::Failed(failure) => format!("failed: {}", failure.with_hint()),
        WorkerState::Asleep => "asleep: the next prompt loads the model".to_owned(),
    }
}

fn state(state: &JobState) -> String {
    match state {
        JobState::Waiting { position } => format!("waiting behind {position} jobs"),
        JobState::Running { image, step, of } => {
            format!("running: image {}, step {step} of {of}", image + 1)
        }
        JobState::Done => "done".to_owned(),
        JobState::Failed(failure) => format!("failed: {}", failure.message),
        JobState::Blocked(failure) => format!("blocked: {}", failure.message),
    }
}
