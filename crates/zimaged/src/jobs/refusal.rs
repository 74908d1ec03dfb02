//! Why the daemon refuses a job, or a request about one.

use std::time::Duration;

use zimg_protocol::messages::JobId;
use zimg_protocol::{Failure, Kind};

use crate::scheduler::estimates::about;

/// Why a request about jobs is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("zimaged is shutting down")]
    ShuttingDown,
    /// No worker can run, which is why.
    #[error("{0}")]
    NoWorker(Failure),
    /// A parameter is outside its range, or the store is not open.
    #[error("{0}")]
    Failed(Failure),
    #[error("the model takes no {0}")]
    ImageInput(&'static str),
    #[error("the request's images did not come with it")]
    ImagesMissing,
    #[error("user {0} may not ask on behalf of others: `on_behalf_of` is refused")]
    OnBehalfOf(u32),
    #[error("the queue is full with {}{}", counted(*.jobs), ends(*.free_in))]
    QueueFull { jobs: usize, free_in: Option<Duration> },
    #[error("you already have {} in the queue{}", counted(*.jobs), ends(*.free_in))]
    OwnQueueFull { jobs: usize, free_in: Option<Duration> },
    #[error("you already have {0} detached jobs")]
    OwnDetachedJobs(usize),
    #[error("there are {0} detached jobs already")]
    DetachedJobs(usize),
    #[error(
        "your detached jobs would take {}, and your quota is {}",
        mebibytes(*.needed),
        mebibytes(*.limit)
    )]
    OwnQuota { needed: u64, limit: u64 },
    #[error(
        "all detached jobs would take {}, and the limit is {}",
        mebibytes(*.needed),
        mebibytes(*.limit)
    )]
    Quota { needed: u64, limit: u64 },
    #[error("the job store is still being opened")]
    StoreOpening,
    #[error("there is no job id for a detached job now")]
    NoJobId,
    /// Of root's requests, which are about all jobs.
    #[error("there is no detached job {0}")]
    NoDetachedJob(JobId),
    #[error("you have no detached job {0}")]
    NoOwnDetachedJob(JobId),
    /// Of root's requests, which are about all jobs.
    #[error("there is no unfinished job {0}")]
    NoUnfinishedJob(JobId),
    #[error("you have no unfinished job {0}")]
    NoOwnUnfinishedJob(JobId),
    #[error("job {0} has not ended")]
    NotEnded(JobId),
    /// The device is not freed.
    #[error("{} for a worker", waits(*.0))]
    JobsWaiting(usize),
    /// The device is not freed after all.
    #[error("the model is needed again meanwhile")]
    ModelNeeded,
    #[error("one connection has one job at a time: wait for its end or open another connection")]
    ConnectionBusy,
}

impl Refusal {
    fn kind(&self) -> Kind {
        match self {
            Self::NoWorker(failure) | Self::Failed(failure) => failure.kind,
            Self::NoDetachedJob(_)
            | Self::NoOwnDetachedJob(_)
            | Self::NotEnded(_)
            | Self::ImageInput(_)
            | Self::ImagesMissing => Kind::Refused,
            Self::NoUnfinishedJob(_) | Self::NoOwnUnfinishedJob(_) | Self::OnBehalfOf(_) => {
                Kind::Permission
            }
            Self::ConnectionBusy => Kind::Usage,
            _ => Kind::Busy,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ShuttingDown => "try again once it is back",
            Self::NoWorker(failure) | Self::Failed(failure) => return failure.hint.clone(),
            Self::QueueFull { .. } | Self::OwnQueueFull { .. } => "try again when one has ended",
            Self::OwnDetachedJobs(_)
            | Self::DetachedJobs(_)
            | Self::OwnQuota { .. }
            | Self::Quota { .. } => "fetch some with `zimg wait`, or drop them with `zimg cancel`",
            Self::StoreOpening | Self::NoJobId => "try again",
            Self::NoDetachedJob(_)
            | Self::NoOwnDetachedJob(_)
            | Self::NoUnfinishedJob(_)
            | Self::NoOwnUnfinishedJob(_) => "`zimg jobs` lists them",
            Self::NotEnded(job) => return Some(format!("`zimg cancel {job}` ends it")),
            Self::JobsWaiting(_) => "try again when they have ended",
            Self::ModelNeeded => "try again later",
            Self::ImageInput(_) => "send the request without it",
            Self::ImagesMissing => "send them after the request, or as sealed memory beside it",
            Self::ConnectionBusy | Self::OnBehalfOf(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let failure = match &refusal {
            Refusal::NoWorker(failure) | Refusal::Failed(failure) => return failure.clone(),
            _ => Self::new(refusal.kind(), refusal.to_string()),
        };
        match refusal.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// "1 job", "2 jobs".
fn counted(jobs: usize) -> String {
    if jobs == 1 { "1 job".into() } else { format!("{jobs} jobs") }
}

fn waits(jobs: usize) -> String {
    format!("{} {}", counted(jobs), if jobs == 1 { "waits" } else { "wait" })
}

fn ends(free_in: Option<Duration>) -> String {
    free_in.map_or_else(String::new, |time| format!("; one of them ends in {}", about(time)))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
