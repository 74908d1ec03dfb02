//! Why a job waits, and what a worker does, as JSON.

use serde::Serialize;
use zimg_client::{Waiting, WorkerState};

/// Why a job waits, or what a worker does: the field `state` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum WaitingFields {
    Queued { position: u32 },
    Preempted { position: u32 },
    Disk { message: String },
    Starting,
    Loading { done: u64, total: u64 },
    Warming,
    Ready,
    Busy,
    Draining,
    Restarting { in_ms: u64, message: String },
    Failed { message: String, hint: Option<String> },
    Asleep,
    Unreachable { message: String, hint: Option<String> },
}

impl From<&Waiting> for WaitingFields {
    fn from(waiting: &Waiting) -> Self {
        match waiting {
            &Waiting::Queue { position } => Self::Queued { position },
            &Waiting::Preempted { position } => Self::Preempted { position },
            Waiting::Disk(failure) => Self::Disk { message: failure.message.clone() },
            Waiting::Worker(state) => state.into(),
        }
    }
}

impl From<&WorkerState> for WaitingFields {
    fn from(state: &WorkerState) -> Self {
        match state {
            WorkerState::Starting => Self::Starting,
            &WorkerState::Loading { done, total } => Self::Loading { done, total },
            WorkerState::Warming => Self::Warming,
            WorkerState::Ready => Self::Ready,
            WorkerState::Busy { .. } => Self::Busy,
            WorkerState::Draining => Self::Draining,
            WorkerState::Restarting { in_ms, reason } => {
                Self::Restarting { in_ms: *in_ms, message: reason.clone() }
            }
            WorkerState::Failed(failure) => {
                Self::Failed { message: failure.message.clone(), hint: failure.hint.clone() }
            }
            WorkerState::Asleep => Self::Asleep,
        }
    }
}
