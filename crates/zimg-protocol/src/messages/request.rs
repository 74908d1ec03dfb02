//! Client to daemon.

use serde::{Deserialize, Serialize};
use zimage_params::Params;

use super::JobId;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Draw images; answered by `Event::Accepted` and, in the end, exactly one of
    /// `Event::Done` and `Event::Failed`.
    Draw(Params),
    /// Stop this connection's job at the next step; answered by `Event::Failed` (cancelled).
    Cancel,
    /// Say how you are; answered by `Event::Status`.
    Status,
    /// As `Draw`, with how it is to be treated.
    Submit(Submit),
    /// List the asker's jobs, or all of them for root; answered by `Event::Jobs`.
    Jobs,
    /// Stop a job of the asker's, or any for root; answered by `Event::Acknowledged` or
    /// `Event::Failed`.
    CancelJob {
        /// The job.
        job: JobId,
    },
    /// Follow a detached job: answered by `Event::Asked`, then as `Draw` is, with all its images,
    /// be they drawn or not yet. `Request::Cancel` or the connection's end stops the following, not
    /// the job.
    Wait {
        /// The job.
        job: JobId,
    },
    /// A detached job's images are saved and can be forgotten; answered by
    /// `Event::Acknowledged` or `Event::Failed`.
    Forget {
        /// The job.
        job: JobId,
    },
    /// Free the GPU until the next prompt; answered by `Event::Acknowledged` or `Event::Failed`.
    Sleep,
    /// Bring the model back before a prompt does; answered by `Event::Acknowledged`.
    Wake,
    /// Say all there is to say; answered by `Event::Overview`.
    Overview,
    /// Say where you have your things; answered by `Event::Setup`.
    Setup,
}

/// A drawing, and how it is to be treated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// What to generate.
    pub params: Params,
    /// Who goes first.
    pub priority: Priority,
    /// Whether it goes on without this connection: it is on disk before it is `Accepted`, which
    /// is the whole answer, and its images are kept until `Request::Forget` or until they expire.
    pub detach: bool,
    /// Whether `Event::Preview`s are wished.
    pub previews: bool,
}

/// Who goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Priority {
    /// Somebody waits for it: it overtakes batch jobs, at the next step of the running one.
    #[default]
    Interactive,
    /// Nobody is in a hurry.
    Batch,
}
