//! How the daemon is.

use serde::{Deserialize, Serialize};

use super::JobId;
use crate::error::Failure;

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
    /// The first image, thrown away.
    Warming,
    /// Ready, nothing to do.
    Ready,
    /// Drawing.
    Busy {
        /// The job.
        job: JobId,
        /// Steps done of the present image.
        step: u32,
        /// Steps of each image.
        of: u32,
    },
    /// The last image before the daemon ends.
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
    /// There is none: the GPU is free until the next prompt.
    Asleep,
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

/// The daemon's state in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// What is on one screen.
    pub status: Status,
    /// Where the present worker has its weights from.
    pub weights: Option<Weights>,
    /// The device's memory, as the worker saw it last; none on a CPU.
    pub memory: Option<DeviceMemory>,
    /// Seconds since the present worker was started.
    pub worker_age_s: Option<u64>,
    /// What may be asked of the daemon.
    pub places: Places,
    /// Unfinished jobs, running and waiting.
    pub unfinished: u32,
    /// Connections that are open.
    pub connections: u32,
    /// Detached jobs whose images are kept.
    pub kept: u32,
    /// Milliseconds until a job that came now would begin, if that can be estimated.
    pub wait_ms: Option<u64>,
    /// What happened since the daemon started.
    pub counters: Counters,
    /// Why no detached job is taken, or what became of those that were kept; none if all is well.
    pub keeping: Option<Failure>,
}

/// Where the daemon has its things: what it was told, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The configuration file that it has read, if there is one.
    pub config: Option<String>,
    /// The checkpoint's folder, or "tiny".
    pub model: String,
    /// The folder of the detached jobs, if they are kept.
    pub state_dir: Option<String>,
}

/// Where a worker has its weights from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Weights {
    /// From the checkpoint's files.
    Read {
        /// Bytes read.
        bytes: u64,
    },
    /// From memory that outlived an earlier worker: no byte was read.
    Kept {
        /// Bytes there.
        bytes: u64,
    },
}

/// A device's memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// In use by anybody.
    pub used: u64,
    /// There is.
    pub total: u64,
}

/// How much the daemon takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// Unfinished jobs.
    pub jobs: u32,
    /// Unfinished jobs of one user.
    pub jobs_per_user: u32,
    /// Connections.
    pub connections: u32,
}

impl Default for Places {
    /// What a daemon takes that was told nothing else.
    fn default() -> Self {
        Self { jobs: 64, jobs_per_user: 8, connections: 32 }
    }
}

/// What happened since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Images delivered or kept.
    pub images: u64,
    /// Steps drawn.
    pub steps: u64,
    /// Seconds these steps took.
    pub step_seconds: f64,
    /// Jobs cancelled.
    pub cancelled: u64,
    /// Jobs for which there was no place.
    pub busy: u64,
    /// Times a job went on after its worker had died.
    pub resumed: u64,
    /// Times a job was overtaken.
    pub overtaken: u64,
}
