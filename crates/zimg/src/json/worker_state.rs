//! The worker's state in `--json` output: the field "state" and the fields that belong to it.

use serde::Serialize;
use zimg_client::WorkerState;

use super::failure::FailureFields;

/// What the worker does.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum WorkerFields<'a> {
    Starting,
    Loading { done: u64, total: u64 },
    Warming,
    Ready,
    Busy { job: u64, step: u32, of: u32 },
    Draining,
    Restarting { in_ms: u64, reason: &'a str },
    Failed(FailureFields<'a>),
    Asleep,
}

impl<'a> From<&'a WorkerState> for WorkerFields<'a> {
    fn from(state: &'a WorkerState) -> Self {
        match state {
            WorkerState::Starting => Self::Starting,
            &WorkerState::Loading { done, total } => Self::Loading { done, total },
            WorkerState::Warming => Self::Warming,
            WorkerState::Ready => Self::Ready,
            &WorkerState::Busy { job, step, of } => Self::Busy { job, step, of },
            WorkerState::Draining => Self::Draining,
            WorkerState::Restarting { in_ms, reason } => Self::Restarting { in_ms: *in_ms, reason },
            WorkerState::Failed(failure) => Self::Failed(failure.into()),
            WorkerState::Asleep => Self::Asleep,
        }
    }
}
