//! Commands of the supervisor and reports of the worker.

use serde::{Deserialize, Serialize};
use zimage_params::Params;
use zimg_protocol::Failure;
use zimg_protocol::messages::{
    DeviceMemory, ImageInfo, ImageRole, JobId, Loras, ModelInfo, PlannedMemory, Preview, Started,
    Step, Timings, Weights,
};

/// Supervisor to worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Generate; answered by `Report`s for this job that end in `Done`, `Failed` or `Paused`.
    Generate {
        /// The job.
        job: JobId,
        /// Its parameters.
        params: Box<Params>,
        /// Whether to send `Report::Preview`s.
        previews: bool,
        /// Where to go on; its latents follow in `kind::LATENTS` frames.
        from: Option<Point>,
        /// Its image inputs; their pixels follow after the latents, in `kind::IMAGE` frames.
        images: Vec<JobImage>,
    },
    /// Stop this job at the next step.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Stop this job at the next step, to go on later: answered by `Report::Paused`, unless the
    /// job ended before.
    Pause {
        /// The job.
        job: JobId,
    },
    /// List the LoRAs, also while a job runs; answered by `Report::Loras`.
    Loras,
}

/// An image input of a job, in the size that its parameters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobImage {
    /// What the model does with it.
    pub role: ImageRole,
    /// Bytes of its pixels, which follow in `kind::IMAGE` frames.
    pub bytes: u64,
}

/// Between two steps a job is this and its latents: enough to go on elsewhere, to the same
/// image, bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The present image, from 0; those before it were sent.
    pub image: u32,
    /// Steps done of it.
    pub step: u32,
    /// Bytes of latents that follow in `kind::LATENTS` frames: float32, little endian,
    /// `[channels, height / 8, width / 8]`; 0 with step 0, when they are noise from the seed.
    pub bytes: u64,
    /// Where the time went so far.
    pub timings: Timings,
}

/// What the supervisor passes to the next process of a worker, so that it makes the same memory plan,
/// or a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanBasis {
    /// The most bytes that it may take.
    pub budget: u64,
    /// Pixels of the largest image that it must have room for.
    pub pixels: u64,
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
    /// The warm-up image began.
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
    /// The image is being decoded.
    Decoding {
        /// The job.
        job: JobId,
        /// Which image, from 0.
        image: u32,
    },
    /// Pixels follow in `kind::PIXELS` frames.
    Image {
        /// The job.
        job: JobId,
        /// What follows.
        image: ImageInfo,
    },
    /// All images of the job were sent.
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
    /// A step's latents follow in `kind::LATENTS` frames.
    Latents {
        /// The job.
        job: JobId,
        /// Where it is.
        point: Point,
    },
    /// The job stopped at the `Latents` sent last, or before its first step.
    Paused {
        /// The job.
        job: JobId,
    },
    /// How the image looks so far.
    Preview {
        /// The job.
        job: JobId,
        /// The small image.
        preview: Preview,
    },
    /// Where the weights came from; before `Ready`.
    Weights(Weights),
    /// The device's memory; after `Ready` and after each job.
    Memory(DeviceMemory),
    /// The memory plan, before the weights are read; and again once its times are known.
    Planned {
        /// The plan.
        plan: PlannedMemory,
        /// What it follows from.
        basis: PlanBasis,
    },
    /// Memory is too small for the plan, and large enough for a smaller one: the worker exits after
    /// this, and the next process makes that.
    Replan {
        /// What the smaller plan follows from.
        basis: PlanBasis,
        /// Why, one sentence.
        reason: String,
    },
    /// The LoRAs that jobs can name.
    Loras(Box<Loras>),
}
