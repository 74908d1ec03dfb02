//! The states of a job. `JobTable` alone moves a job from one to another.

use zimg_protocol::Failure;
use zimg_protocol::messages::Timings;

use crate::outbox::ClientId;
use crate::store::JobEnd;
use crate::workers::WorkerId;

/// Where a job is. Clients see [`zimg_protocol::messages::JobState`], which is made of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JobPhase {
    /// A detached job is being written to the store; this client is answered after that.
    Accepting(ClientId),
    /// In the queue.
    Waiting,
    /// In the queue, after an interactive job made it stop.
    Preempted,
    /// A worker has it.
    Running(Run),
    /// The disk does not take its images: it is not in the queue until a probe succeeds.
    Blocked(Failure),
    /// All its images are generated, and some are on their way to the disk.
    Saving(Timings),
    /// Its end is on its way to the disk.
    Ending(JobEnd),
    /// An image was damaged, and the store drops it and those after it.
    Truncating,
    /// All its images are in the store, which was this old in seconds.
    Done { age_s: u64 },
    /// No further image will come.
    Failed { failure: Failure, age_s: u64 },
}

/// A job's time with one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub worker: WorkerId,
    /// The worker has begun with it.
    pub began: bool,
    /// It was preempted before, and its client has not been told that it goes on.
    pub was_preempted: bool,
    pub stop: Stop,
}

/// What the worker was asked to do with the job that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing: it runs to its end.
    None,
    /// To pause at the next step.
    Preempt,
    /// To end at the next step; it may have been asked to pause before.
    Cancel { after_preempt: bool },
}

impl JobPhase {
    /// Whether the job has ended, for its owner and for the store.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }

    /// Whether it is in the queue or with a worker.
    pub(crate) fn is_scheduled(&self) -> bool {
        matches!(self, Self::Waiting | Self::Preempted | Self::Running(_))
    }

    /// How old the store was when it ended.
    pub(crate) fn ended_s(&self) -> Option<u64> {
        match self {
            Self::Done { age_s } | Self::Failed { age_s, .. } => Some(*age_s),
            _ => None,
        }
    }
}

impl Run {
    /// A worker gets the job.
    pub(crate) fn new(worker: WorkerId, was_preempted: bool) -> Self {
        Self { worker, began: false, was_preempted, stop: Stop::None }
    }

    /// Whether the worker was asked to pause.
    pub(crate) fn is_pausing(&self) -> bool {
        matches!(self.stop, Stop::Preempt | Stop::Cancel { after_preempt: true })
    }

    /// Whether it was asked to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.stop, Stop::Cancel { .. })
    }
}
