//! Client to daemon.

use serde::{Deserialize, Serialize};
use zimage_params::{Params, ParamsError, Value};

use super::{ImageInput, JobId};
use crate::codec;
use crate::error::Failure;
use crate::limits::{IMAGES_MAX, PARAMETER_NAME_BYTES, PARAMETERS_MAX, USER_BYTES};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Generate images; answered by `Event::Accepted` and, in the end, exactly one of
    /// `Event::Done`, `Event::Failed` and `Event::Busy`.
    Generate(Generate),
    /// Stop this connection's job at the next step; answered by `Event::Failed` (cancelled).
    Cancel,
    /// The daemon's state on one screen; answered by `Event::Status`.
    Status,
    /// List the peer's jobs, or all of them for root; answered by `Event::Jobs`.
    Jobs,
    /// Stop a job of the peer's, or any for root; answered by `Event::Acknowledged` or
    /// `Event::Failed`.
    CancelJob {
        /// The job.
        job: JobId,
    },
    /// Subscribe to a detached job: answered by `Event::Asked`, then as `Generate` is, with all its
    /// images, finished or not. `Request::Cancel` or the connection's end stops the subscription,
    /// not the job.
    Wait {
        /// The job.
        job: JobId,
    },
    /// Delete a detached job whose images are saved; answered by `Event::Acknowledged` or
    /// `Event::Failed`.
    Forget {
        /// The job.
        job: JobId,
    },
    /// Free the GPU until the next prompt; answered by `Event::Acknowledged` or `Event::Failed`.
    Sleep,
    /// Load the model before a prompt does; answered by `Event::Acknowledged`.
    Wake,
    /// The daemon's state in full; answered by `Event::Overview`.
    Overview,
    /// The daemon's paths; answered by `Event::Setup`.
    Setup,
    /// The workers' memory plans; answered by `Event::MemoryPlans`. Since minor version 2.
    MemoryPlans,
    /// How long detached jobs stay, and when those of the peer expire that have ended; answered by
    /// `Event::Expiries`. Since minor version 3.
    Expiries,
    /// The LoRAs that a request can name; answered by `Event::Loras` or `Event::Failed`. Since minor
    /// version 4.
    Loras,
}

/// A job: what to generate, and how it is scheduled and delivered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// Generation parameters. On the wire a list of names and values.
    pub params: Params,
    /// The scheduling class.
    pub priority: Priority,
    /// Whether the job goes on without this connection: it is on disk before it is `Accepted`,
    /// which is the whole answer, and its images are stored until `Request::Forget` or until they
    /// expire.
    pub detach: bool,
    /// Whether to send `Event::Preview`s.
    pub previews: bool,
    /// Images to start from, at most [`IMAGES_MAX`].
    #[serde(deserialize_with = "codec::as_they_come")]
    pub images: Vec<ImageInput>,
    /// The user for whom a trusted front end asks, at most [`USER_BYTES`] bytes.
    pub on_behalf_of: Option<String>,
}

/// The scheduling class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Priority {
    /// Preempts batch jobs, at the next step of the running one.
    #[default]
    Interactive,
    /// Preempted by interactive jobs.
    Batch,
}

impl Generate {
    /// An interactive job with these parameters.
    pub fn new(params: Params) -> Self {
        Self { params, ..Self::default() }
    }
}

impl From<Params> for Generate {
    fn from(params: Params) -> Self {
        Self::new(params)
    }
}

impl From<&Params> for Generate {
    fn from(params: &Params) -> Self {
        Self::new(params.clone())
    }
}

impl From<&Self> for Generate {
    fn from(request: &Self) -> Self {
        request.clone()
    }
}

/// [`Generate`] as it is read: parameters that this version does not know are not a malformed
/// message, they are refused by name.
#[derive(Deserialize)]
pub(crate) struct ReceivedGenerate {
    #[serde(deserialize_with = "codec::as_they_come")]
    params: Vec<(String, Value)>,
    priority: Priority,
    detach: bool,
    previews: bool,
    #[serde(deserialize_with = "codec::as_they_come")]
    images: Vec<ImageInput>,
    on_behalf_of: Option<String>,
}

impl ReceivedGenerate {
    /// The request, or the first thing in it that is refused.
    pub(crate) fn understood(self) -> Result<Generate, Failure> {
        let Self { params, priority, detach, previews, images, on_behalf_of } = self;
        let too_many = |what: &str, found: usize, most: usize| {
            Failure::refused(format!("the request has {found} {what}, expected at most {most}"))
        };
        if params.len() > PARAMETERS_MAX {
            return Err(too_many("parameters", params.len(), PARAMETERS_MAX));
        }
        if images.len() > IMAGES_MAX {
            return Err(too_many("images", images.len(), IMAGES_MAX));
        }
        if let Some(user) = on_behalf_of.as_ref().filter(|user| user.len() > USER_BYTES) {
            return Err(Failure::refused(format!(
                "`on_behalf_of` has {} bytes, expected at most {USER_BYTES}",
                user.len()
            )));
        }
        if let Some((name, _)) = params.iter().find(|(name, _)| name.len() > PARAMETER_NAME_BYTES) {
            return Err(Failure::refused(format!(
                "a parameter's name has {} bytes, expected at most {PARAMETER_NAME_BYTES}",
                name.len()
            )));
        }
        let params = Params::from_pairs(params).map_err(|error| match error {
            // A name is a peer's: what is not plain text is not repeated as it is.
            ParamsError::Unknown { name } => {
                ParamsError::Unknown { name: name.escape_debug().to_string() }.into()
            }
            error => Failure::from(error),
        })?;
        Ok(Generate { params, priority, detach, previews, images, on_behalf_of })
    }
}
