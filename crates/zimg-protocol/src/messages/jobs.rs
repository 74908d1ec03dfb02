//! Jobs as their owners see them.

use serde::{Deserialize, Serialize};

use super::{JobId, Priority};
use crate::error::Failure;

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum JobState {
    /// It waits.
    Waiting {
        /// How many jobs are before it.
        position: u32,
    },
    /// It is being generated.
    Running {
        /// Which image, from 0.
        image: u32,
        /// Steps done of it.
        step: u32,
        /// Steps of each image.
        of: u32,
    },
    /// Its images are stored.
    Done,
    /// It has failed.
    Failed(Failure),
    /// It waits for the daemon's disk, which does not take its images, and why.
    Blocked(Failure),
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Its number.
    pub job: JobId,
    /// The user id of its owner.
    pub uid: u32,
    /// The user on whose behalf a trusted front end asked.
    pub on_behalf_of: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// Who goes first.
    pub priority: Priority,
    /// Whether it goes on without a connection.
    pub detached: bool,
    /// Width in pixels, if the request or the model has said it.
    pub width: Option<u32>,
    /// Height in pixels, likewise.
    pub height: Option<u32>,
    /// The seed of its first image.
    pub seed: u64,
    /// Images asked for.
    pub count: u32,
    /// Images generated.
    pub generated: u32,
    /// When it was accepted, in seconds since 1970.
    pub accepted_unix_s: u64,
    /// The beginning of its prompt: at most [`PROMPT_SHOWN`](crate::limits::PROMPT_SHOWN)
    /// characters.
    pub prompt: String,
}

/// How long detached jobs stay, and those of a user that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiries {
    /// Seconds that a job stays after its end, in time that the daemon runs.
    pub retention_s: u64,
    /// Bytes that the detached jobs of one user may take.
    pub bytes_per_user: u64,
    /// The jobs that have ended.
    #[serde(deserialize_with = "crate::codec::as_they_come")]
    pub jobs: Vec<JobExpiry>,
}

/// When a detached job that has ended is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobExpiry {
    /// Its number.
    pub job: JobId,
    /// Seconds until then, in time that the daemon runs.
    pub expires_in_s: u64,
}
