//! How the daemon is.

use std::fmt;

use serde::{Deserialize, Serialize};
use zimage_params::PARAMETERS;
use zimage_params::limits::{COUNT_MAX, SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE};

use super::{ImageRole, JobId, PixelLayout};
use crate::codec;
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

/// A loaded model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What a model and this daemon can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The parameters that a request may have, by name.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub parameters: Vec<String>,
    /// Whether guidance above 0 is useful: not for a distilled model.
    pub guidance: bool,
    /// Whether a negative prompt has an effect, with guidance above 0.
    pub negative_prompt: bool,
    /// The shortest side in pixels.
    pub side_min: u32,
    /// The longest side in pixels.
    pub side_max: u32,
    /// Both sides are multiples of this many pixels.
    pub side_multiple: u32,
    /// The most images of one request.
    pub images_max: u32,
    /// Whether a request can bring an initial image.
    pub initial_image: bool,
    /// Whether a request can bring a mask.
    pub mask: bool,
    /// Whether a request can bring a control image.
    pub control_image: bool,
    /// Whether a request can name LoRA weights.
    pub lora: bool,
    /// The layouts that pixels are delivered in.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub layouts: Vec<PixelLayout>,
}

impl Capabilities {
    /// Those of a model that makes images of text alone, with sides up to `side_max`.
    pub fn text_to_image(side_max: u32, side_multiple: u32, guidance: bool) -> Self {
        Self {
            parameters: PARAMETERS.iter().map(|row| row.name.to_owned()).collect(),
            guidance,
            negative_prompt: true,
            side_min: SIZE_MIN,
            side_max,
            side_multiple,
            images_max: COUNT_MAX,
            initial_image: false,
            mask: false,
            control_image: false,
            lora: false,
            layouts: vec![PixelLayout::Rgb8],
        }
    }

    /// Whether a request can bring an image of this role.
    pub fn takes(&self, role: ImageRole) -> bool {
        match role {
            ImageRole::Initial => self.initial_image,
            ImageRole::Mask => self.mask,
            ImageRole::Control => self.control_image,
        }
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::text_to_image(SIZE_MAX, SIZE_MULTIPLE, false)
    }
}

/// A worker's number, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct WorkerId(pub u32);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A worker: one process on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Which.
    pub worker: WorkerId,
    /// What it is doing.
    pub state: WorkerState,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// The model, once loaded.
    pub model: Option<ModelInfo>,
    /// Seconds from the process's start to ready, once ready.
    pub load_s: Option<f32>,
    /// Seconds since the process was started.
    pub age_s: Option<u64>,
    /// Where the process has its weights from.
    pub weights: Option<Weights>,
    /// The device's memory, as last reported; none on a CPU.
    pub memory: Option<DeviceMemory>,
    /// The last failure, one sentence.
    pub last_error: Option<String>,
}

impl WorkerStatus {
    /// What stands for the worker of a daemon that lists none.
    const NONE: Self = Self {
        worker: WorkerId(0),
        state: WorkerState::Asleep,
        pid: None,
        restarts: 0,
        model: None,
        load_s: None,
        age_s: None,
        weights: None,
        memory: None,
        last_error: None,
    };
}

impl Default for WorkerStatus {
    fn default() -> Self {
        Self::NONE
    }
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
    /// Its workers.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub workers: Vec<WorkerStatus>,
    /// Jobs waiting.
    pub queued: u32,
    /// Jobs answered with `Done`.
    pub done: u64,
    /// Jobs answered with `Failed`.
    pub failed: u64,
}

impl Status {
    /// The first worker, or what stands for one that is not there.
    pub fn first_worker(&self) -> &WorkerStatus {
        static NONE: WorkerStatus = WorkerStatus::NONE;
        self.workers.first().unwrap_or(&NONE)
    }

    /// The first worker's model, once loaded.
    pub fn model(&self) -> Option<&ModelInfo> {
        self.first_worker().model.as_ref()
    }
}

/// The daemon's state in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// What is on one screen.
    pub status: Status,
    /// The most that the daemon takes at a time.
    pub limits: DaemonLimits,
    /// Unfinished jobs, running and waiting.
    pub unfinished: u32,
    /// Connections that are open.
    pub connections: u32,
    /// Detached jobs whose images are stored.
    pub detached: u32,
    /// Milliseconds until a job that came now would begin, if that can be estimated.
    pub wait_ms: Option<u64>,
    /// What happened since the daemon started.
    pub counters: Counters,
    /// Why no detached job is accepted, or what was lost of the stored ones; none if all is well.
    pub store_failure: Option<Failure>,
}

/// Where the daemon has its things: what it was told, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The configuration file that it has read, if there is one.
    pub config: Option<String>,
    /// The checkpoint's folder, or "tiny".
    pub model: String,
    /// The folder of the detached jobs, if there is one.
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
    Retained {
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

/// What of a model lies on a device, as a worker decided before it loaded the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedMemory {
    /// The plan in one line.
    pub sentence: String,
    /// What the worker may take, in bytes.
    pub budget: u64,
    /// The most that it takes, in bytes, as predicted.
    pub peak: u64,
    /// Blocks of a denoising step.
    pub blocks: u32,
    /// Those of them whose weights stay on the device; the others are streamed.
    pub resident_blocks: u32,
    /// Whether the text encoder's weights stay on the device.
    pub text_encoder: bool,
    /// Whether images are decoded in strips.
    pub strips: bool,
    /// Whether quantised weights stay as the file encodes them.
    pub packed: bool,
    /// Seconds of an image with a prompt seen before, as predicted, once the device was measured.
    pub image_s: Option<f32>,
    /// The same with a new prompt.
    pub new_prompt_s: Option<f32>,
}

/// A worker's memory plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerPlan {
    /// Whose.
    pub worker: WorkerId,
    /// The plan.
    pub plan: PlannedMemory,
}

/// How much the daemon takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonLimits {
    /// Unfinished jobs.
    pub jobs: u32,
    /// Unfinished jobs of one user.
    pub jobs_per_user: u32,
    /// Connections.
    pub connections: u32,
}

impl Default for DaemonLimits {
    /// What a daemon takes that was told nothing else.
    fn default() -> Self {
        Self { jobs: 64, jobs_per_user: 8, connections: 32 }
    }
}

/// What happened since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Images delivered or stored.
    pub images: u64,
    /// Steps generated.
    pub steps: u64,
    /// Seconds these steps took.
    pub step_seconds: f64,
    /// Jobs cancelled.
    pub cancelled: u64,
    /// Jobs for which there was no place.
    pub busy: u64,
    /// Times a job went on after its worker had died.
    pub resumed: u64,
    /// Times a job was preempted.
    pub preempted: u64,
    /// Lines that the log did not take.
    pub log_lines_lost: u64,
}
