//! Client to daemon.

use serde::{Deserialize, Serialize};

use super::JobId;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Draw images; answered by `Event::Accepted` and, in the end, exactly one of
    /// `Event::Done` and `Event::Failed`.
    Draw(Draw),
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
    /// What to draw.
    pub draw: Draw,
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

/// What to draw. `None` means: as the model's own defaults have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// The prompt, UTF-8, at most `limits::PROMPT_BYTES`.
    pub prompt: String,
    /// The negative prompt; used only when guidance is above 0.
    pub negative: Option<String>,
    /// Width in pixels: a multiple of 16, 64 to 2048.
    pub width: Option<u32>,
    /// Height in pixels: a multiple of 16, 64 to 2048.
    pub height: Option<u32>,
    /// Denoising steps, 1 to 100.
    pub steps: Option<u32>,
    /// Guidance as diffusers has it: 0 is off, `pred = pos + g·(pos − neg)`.
    pub guidance: Option<f32>,
    /// diffusers' `cfg_normalization`: at most this many times the norm of `pos`; 0 is off.
    pub guidance_normalization: f32,
    /// diffusers' `cfg_truncation`: guidance is off once t (0 = noise, 1 = done) exceeds this.
    pub guidance_truncation: f32,
    /// Seed of the first image; image i has `seed + i` (wrapping).
    pub seed: u64,
    /// How many images, 1 to `limits::COUNT_MAX`.
    pub count: u32,
}
