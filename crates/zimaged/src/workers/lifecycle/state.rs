//! Where the worker stands, what may happen to it, and what is then to be done: the words of
//! `life.rs`.

use std::time::Duration;

use zimg_protocol::Failure;
use zimg_protocol::messages::JobId;

use crate::workers::exit::{Exit, Fault};

/// Where the worker stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WorkerPhase {
    /// The process runs and has said nothing yet.
    Spawning,
    /// Weights are being read; bytes.
    Loading { done: u64, total: u64 },
    /// The first images, thrown away.
    Warming,
    /// Ready, nothing to do.
    Ready,
    /// Running a job; steps of the present image.
    Busy { job: JobId, step: u32, of: u32 },
    /// Its input was closed, since it is to sleep; it ends by itself.
    Draining,
    /// It was killed, and its end is awaited.
    Reaping(Killed),
    /// There is no process; a new one starts after the pause.
    BackingOff { pause: Duration, reason: String },
    /// There is no process, and every job is refused. If it is the configuration that is wrong,
    /// none is started unless a client asks for it; else one is started now and then.
    Failed(Failure),
    /// There is no process, and none is wanted until the next prompt.
    Asleep,
    /// There is no process, and none is wanted: the daemon ends.
    Gone,
}

/// A process that was killed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Killed {
    /// The job that it was running.
    pub job: Option<JobId>,
    /// Why, one sentence.
    pub reason: String,
    /// Whether what it had said before, and what is heard only now, still counts.
    pub trusted: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum WorkerInput {
    /// The process could not be started.
    NotStarted(Failure),
    /// It reads weights; bytes.
    Loading { done: u64, total: u64 },
    /// It warms up.
    Warming,
    /// Jobs may come.
    Ready,
    /// The supervisor gave it a job.
    Given(JobId),
    /// The job has done `step` steps (0: it began) of `of`.
    Step { job: JobId, step: u32, of: u32 },
    /// The worker said something else about its job.
    Alive,
    /// An image has come whole.
    ImageComplete,
    /// The job has ended, or waits again.
    Ended(JobId),
    /// It cannot go on.
    Fatal(Failure),
    /// It ends, so that the next process makes a smaller memory plan; why, one sentence.
    Replan(String),
    /// It said something that it must not say.
    Violation(String),
    /// The process has ended, and all that it had said was heard.
    Exited(Exit),
    /// The deadline has passed.
    TimeUp,
    /// The GPU is to be freed once the running job has ended.
    Sleep,
    /// A job waits, or a client asks for the model.
    Wake,
    /// The daemon ends.
    Stop,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WorkerAction {
    /// Start a process.
    Spawn,
    /// Close the process's input, which ends it.
    Close,
    /// End the process at once.
    Kill,
    /// The worker died, and will be started again after this pause.
    BackOff { pause: Duration, reason: String },
    /// The job's worker died under it.
    LoseJob { job: JobId, fault: Fault, reason: String },
    /// No job can run any more.
    RefuseAll(Failure),
}
