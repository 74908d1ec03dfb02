//! Daemon to client.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zimage_params::Params;

use super::{
    Expiries, JobId, JobInfo, Loras, ModelInfo, Overview, Setup, Status, WorkerPlan, WorkerState,
};
use crate::error::Failure;

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The job is in the queue.
    Accepted {
        /// The job's number.
        job: JobId,
        /// How many jobs are before it.
        position: u32,
    },
    /// Not generating yet, and why. Latest counts.
    Waiting(Waiting),
    /// The job has the worker; what the defaults became.
    Started(Started),
    /// A denoising step is done.
    Step(Step),
    /// The image's latents are being decoded to pixels.
    Decoding {
        /// Which image, from 0.
        image: u32,
    },
    /// An image's pixels follow in `kind::PIXELS` frames, `bytes` in all.
    Image(ImageInfo),
    /// All images were sent. The last message of a job.
    Done(Timings),
    /// No (further) image will come. The last message of a job.
    Failed(Failure),
    /// The answer to `Request::Status`.
    Status(Box<Status>),
    /// There is no place for the job now. The last message of a job, as `Failed`.
    Busy(Busy),
    /// How the image looks so far; the latest counts.
    Preview(Preview),
    /// The answer to `Request::Jobs`.
    Jobs(#[serde(deserialize_with = "crate::codec::as_they_come")] Vec<JobInfo>),
    /// What was asked for is done.
    Acknowledged,
    /// The answer to `Request::Overview`.
    Overview(Box<Overview>),
    /// The job goes on where it was, after its worker died or another job went first.
    Resumed {
        /// Which image, from 0.
        image: u32,
        /// Steps of it that need not be done again.
        step: u32,
    },
    /// What a detached job generates: the first answer to `Request::Wait`.
    Asked(Box<Params>),
    /// The answer to `Request::Setup`.
    Setup(Box<Setup>),
    /// The answer to `Request::MemoryPlans`: of the workers that have one. Since minor version 2.
    MemoryPlans(#[serde(deserialize_with = "crate::codec::as_they_come")] Vec<WorkerPlan>),
    /// The answer to `Request::Expiries`. Since minor version 3.
    Expiries(Expiries),
    /// The answer to `Request::Loras`. Since minor version 4.
    Loras(Box<Loras>),
}

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Waiting {
    /// Other jobs are before it.
    Queue {
        /// How many.
        position: u32,
    },
    /// The worker is not ready yet.
    Worker(WorkerState),
    /// The job had begun, and a more urgent one goes first.
    Preempted {
        /// How many jobs are before it.
        position: u32,
    },
    /// The job is a detached one, and its images cannot be stored now.
    Disk(Failure),
}

/// What a job's defaults became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The model that generates.
    pub model: ModelInfo,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Guidance.
    pub guidance: f32,
}

/// A denoising step is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which image, from 0.
    pub image: u32,
    /// Steps done, from 1.
    pub step: u32,
    /// Steps in all.
    pub of: u32,
    /// Milliseconds this step took.
    pub ms: f32,
}

/// A finished image's frame: 8-bit RGB, rows from the top, no padding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Which image, from 0.
    pub index: u32,
    /// The seed that generates it again.
    pub seed: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes of pixels that follow: 3 · width · height.
    pub bytes: u64,
}

/// Where a job's time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// In the queue (0 from the worker; the daemon fills it in).
    pub queued: f32,
    /// Tokenizer and text encoder.
    pub text: f32,
    /// All denoising steps of all images.
    pub steps: f32,
    /// VAE, pixels to host.
    pub decode: f32,
    /// From the request's arrival to this message.
    pub total: f32,
}

/// There is no place for a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Busy {
    /// What a user is told.
    pub failure: Failure,
    /// Jobs that are waiting or running.
    pub depth: u32,
    /// Milliseconds until there is a place again, if that can be estimated.
    pub wait_ms: Option<u64>,
}

/// A small image of a generating in the making.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// Which image, from 0.
    pub image: u32,
    /// Steps done.
    pub step: u32,
    /// Width in pixels: an eighth of the image's.
    pub width: u32,
    /// Height in pixels: an eighth of the image's.
    pub height: u32,
    /// 8-bit RGB, rows from the top, no padding: 3 · width · height bytes.
    pub rgb: Bytes,
}
