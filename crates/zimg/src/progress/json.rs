//! `--json` events of one job: from its acceptance to the saved images.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use zimg_client::{Failure, Update, Waiting};

use crate::json::{PathFields, WorkerFields};
use crate::run_job::SavedImage;

/// The field "event" and the fields that belong to it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum JobEvent<'a> {
    Accepted {
        job: u64,
        position: u32,
    },
    Waiting(WaitingFields<'a>),
    Started {
        model: &'a str,
        width: u32,
        height: u32,
        steps: u32,
        guidance: f32,
    },
    Step {
        image: u64,
        step: u32,
        of: u32,
        ms: f32,
    },
    Decoding {
        image: u64,
    },
    Saved {
        image: u64,
        #[serde(flatten)]
        path: PathFields,
        seed: u64,
        width: u32,
        height: u32,
        bytes: Option<usize>,
    },
    Sheet {
        #[serde(flatten)]
        path: PathFields,
        width: u32,
        height: u32,
        bytes: usize,
    },
    Warning {
        message: &'a str,
    },
    Busy {
        wait_ms: u64,
        message: &'a str,
    },
    Resumed {
        image: u64,
        step: u32,
    },
    Done {
        ms: JobMilliseconds,
    },
}

/// Why a job waits: the field "state".
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum WaitingFields<'a> {
    Queued {
        position: u32,
    },
    Preempted {
        position: u32,
    },
    Disk {
        message: &'a str,
    },
    #[serde(untagged)]
    Worker(WorkerFields<'a>),
}

/// Where a job's time went.
#[derive(Serialize)]
pub(crate) struct JobMilliseconds {
    queued: f32,
    text: f32,
    steps: f32,
    decode: f32,
    total: f32,
}

/// The event of a job's update. None for an image, whose event is `saved`, and for a preview.
pub(crate) fn update(update: &Update) -> Option<JobEvent<'_>> {
    Some(match update {
        &Update::Accepted { job, position } => JobEvent::Accepted { job, position },
        Update::Waiting(waiting) => JobEvent::Waiting(waiting.into()),
        Update::Started(started) => JobEvent::Started {
            model: &started.model.name,
            width: started.width,
            height: started.height,
            steps: started.steps,
            guidance: started.guidance,
        },
        Update::Step(step) => JobEvent::Step {
            image: from_one(step.image),
            step: step.step,
            of: step.of,
            ms: step.ms,
        },
        Update::Decoding { image } => JobEvent::Decoding { image: from_one(*image) },
        &Update::Resumed { image, step } => JobEvent::Resumed { image: from_one(image), step },
        Update::Image(_) | Update::Preview(_) => return None,
        Update::Done(timings) => JobEvent::Done {
            ms: JobMilliseconds {
                queued: timings.queued,
                text: timings.text,
                steps: timings.steps,
                decode: timings.decode,
                total: timings.total,
            },
        },
    })
}

impl<'a> From<&'a Waiting> for WaitingFields<'a> {
    fn from(waiting: &'a Waiting) -> Self {
        match waiting {
            &Waiting::Queue { position } => Self::Queued { position },
            &Waiting::Preempted { position } => Self::Preempted { position },
            Waiting::Disk(failure) => Self::Disk { message: &failure.message },
            Waiting::Worker(state) => Self::Worker(state.into()),
        }
    }
}

/// An image is saved.
pub(crate) fn saved<'a>(saved: &SavedImage<'a>) -> JobEvent<'a> {
    let info = &saved.image.info;
    JobEvent::Saved {
        image: from_one(info.index),
        path: path_fields(saved.path),
        seed: info.seed,
        width: info.width,
        height: info.height,
        bytes: saved.bytes,
    }
}

/// The contact sheet is saved.
pub(crate) fn sheet(
    path: Option<&Path>,
    width: u32,
    height: u32,
    bytes: usize,
) -> JobEvent<'static> {
    JobEvent::Sheet { path: path_fields(path), width, height, bytes }
}

/// A warning for the user.
pub(crate) fn warning(message: &str) -> JobEvent<'_> {
    JobEvent::Warning { message }
}

/// The daemon is busy, and zimg asks again after `pause`.
pub(crate) fn busy(failure: &Failure, pause: Duration) -> JobEvent<'_> {
    let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    JobEvent::Busy { wait_ms, message: &failure.message }
}

/// Empty for standard output.
fn path_fields(path: Option<&Path>) -> PathFields {
    path.unwrap_or(Path::new("")).into()
}

fn from_one(image: u32) -> u64 {
    u64::from(image) + 1
}
