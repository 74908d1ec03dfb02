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
