//! What client, daemon and worker say to each other, major version 1.
//!
//! Every enum is append-only: a variant's place is its number on the wire. A changed field is a
//! new variant or a new major version (`tests/golden.rs` holds the bytes).

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// A job's number: unique while the daemon lives, never 0.
pub type JobId = u64;

/// Client to daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Draw pictures; answered by `Event::Accepted` and, in the end, exactly one of
    /// `Event::Done` and `Event::Failed`.
    Draw(Draw),
    /// Stop this connection's job at the next step; answered by `Event::Failed` (cancelled).
    Cancel,
    /// Say how you are; answered by `Event::Status`.
    Status,
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
    /// Seed of the first picture; picture i has `seed + i` (wrapping).
    pub seed: u64,
    /// How many pictures, 1 to `limits::COUNT_MAX`.
    pub count: u32,
}

/// Daemon to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The job is in the queue.
    Accepted {
        /// The job's number.
        job: JobId,
        /// How many jobs are before it.
        position: u32,
    },
    /// Not drawing yet, and why. Latest counts.
    Waiting(Waiting),
    /// The job has the worker; what the defaults became.
    Started(Started),
    /// A denoising step is done.
    Step(Step),
    /// The picture's latents are being decoded to pixels.
    Decoding {
        /// Which picture, from 0.
        picture: u32,
    },
    /// A picture's pixels follow in `kind::PIXELS` frames, `bytes` in all.
    Picture(Picture),
    /// All pictures were sent. The last message of a job.
    Done(Timings),
    /// No (further) picture will come. The last message of a job.
    Failed(Failure),
    /// The answer to `Request::Status`.
    Status(Box<Status>),
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
}

/// What the worker is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkerState {
    /// The process starts.
    Starting,
    /// Weights are being read.
    Loading {
        /// Bytes read.
        done: u64,
        /// Bytes there are.
        total: u64,
    },
    /// The first picture, thrown away.
    Warming,
    /// Ready, nothing to do.
    Ready,
    /// Drawing.
    Busy {
        /// The job.
        job: JobId,
        /// Steps done of the present picture.
        step: u32,
        /// Steps of each picture.
        of: u32,
    },
    /// The last picture before the daemon ends.
    Draining,
    /// It died; the next start comes after a pause.
    Restarting {
        /// Milliseconds until then.
        in_ms: u64,
        /// Why, one sentence.
        reason: String,
    },
    /// It will not be started again without a human.
    Failed(Failure),
}

/// What a job's defaults became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The model's name.
    pub model: String,
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
    /// Which picture, from 0.
    pub picture: u32,
    /// Steps done, from 1.
    pub step: u32,
    /// Steps in all.
    pub of: u32,
    /// Milliseconds this step took.
    pub ms: f32,
}

/// A finished picture's frame: 8-bit RGB, rows from the top, no padding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Which picture, from 0.
    pub index: u32,
    /// The seed that draws it again.
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
    /// All denoising steps of all pictures.
    pub steps: f32,
    /// VAE, pixels to host.
    pub decode: f32,
    /// From the request's arrival to this message.
    pub total: f32,
}

/// What the model is and takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name: the folder's, or "tiny".
    pub name: String,
    /// "cpu" or "cuda:0", with the device's own name.
    pub device: String,
    /// "float32", "bfloat16" or "float16".
    pub dtype: String,
    /// Default width in pixels.
    pub width: u32,
    /// Default height in pixels.
    pub height: u32,
    /// Default denoising steps.
    pub steps: u32,
    /// Default guidance.
    pub guidance: f32,
    /// The most prompt tokens, template included.
    pub max_tokens: u32,
}

/// The daemon's state on one screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The worker.
    pub worker: WorkerState,
    /// The worker's process, if there is one.
    pub worker_pid: Option<u32>,
    /// How often the worker was started again.
    pub restarts: u32,
    /// The model, once loaded.
    pub model: Option<ModelInfo>,
    /// Seconds from the worker's start to ready, once ready.
    pub load_s: Option<f32>,
    /// Jobs waiting.
    pub queued: u32,
    /// Jobs answered with `Done`.
    pub done: u64,
    /// Jobs answered with `Failed`.
    pub failed: u64,
    /// The worker's last failure, one sentence.
    pub last_error: Option<String>,
}

/// Supervisor to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Draw; answered by `Report`s for this job that end in `Done` or `Failed`.
    Draw {
        /// The job.
        job: JobId,
        /// What.
        draw: Draw,
    },
    /// Stop this job at the next step.
    Cancel {
        /// The job.
        job: JobId,
    },
}

/// Worker to supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// Weights are being read.
    Loading {
        /// Bytes read.
        done: u64,
        /// Bytes there are.
        total: u64,
    },
    /// The warm-up picture began.
    Warming,
    /// Jobs may come.
    Ready(ModelInfo),
    /// The job began.
    Started {
        /// The job.
        job: JobId,
        /// What the defaults became.
        started: Started,
    },
    /// A step is done.
    Step {
        /// The job.
        job: JobId,
        /// Which.
        step: Step,
    },
    /// The picture is being decoded.
    Decoding {
        /// The job.
        job: JobId,
        /// Which picture, from 0.
        picture: u32,
    },
    /// Pixels follow in `kind::PIXELS` frames.
    Picture {
        /// The job.
        job: JobId,
        /// What follows.
        picture: Picture,
    },
    /// All pictures of the job were sent.
    Done {
        /// The job.
        job: JobId,
        /// Where the time went.
        timings: Timings,
    },
    /// The job failed; the worker lives.
    Failed {
        /// The job.
        job: JobId,
        /// Why.
        failure: Failure,
    },
    /// The worker cannot go on and exits after this.
    Fatal(Failure),
}
