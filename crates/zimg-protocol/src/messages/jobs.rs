//! Jobs as their owners see them.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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
    /// It is being drawn.
    Running {
        /// Which picture, from 0.
        picture: u32,
        /// Steps done of it.
        step: u32,
        /// Steps of each picture.
        of: u32,
    },
    /// Its pictures are kept.
    Done,
    /// It has failed.
    Failed(Failure),
    /// It waits for the daemon's disk, which does not take its pictures, and why.
    Held(Failure),
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Its number.
    pub job: JobId,
    /// Whose it is.
    pub uid: u32,
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
    /// The seed of its first picture.
    pub seed: u64,
    /// Pictures asked for.
    pub count: u32,
    /// Pictures drawn.
    pub drawn: u32,
    /// When it was accepted, in seconds since 1970.
    pub accepted_unix_s: u64,
    /// The beginning of its prompt: at most [`PROMPT_SHOWN`](crate::limits::PROMPT_SHOWN)
    /// characters.
    pub prompt: String,
}

/// Reads a list without making room for as many as are announced.
pub(super) fn as_they_come<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<JobInfo>, D::Error> {
    struct Jobs;
    impl<'de> Visitor<'de> for Jobs {
        type Value = Vec<JobInfo>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("jobs")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut jobs = Vec::new();
            while let Some(job) = from.next_element()? {
                jobs.push(job);
            }
            Ok(jobs)
        }
    }
    from.deserialize_seq(Jobs)
}
