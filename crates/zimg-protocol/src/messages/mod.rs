//! What client, daemon and worker say to each other, major version 1.
//!
//! Every enum that a client sees is append-only: a variant's place is its number on the wire. A
//! changed field is a new variant or a new major version (`tests/golden.rs` holds the bytes).

mod event;
mod image_input;
mod jobs;
mod loras;
mod request;
mod request_images;
mod status;

pub use event::{Busy, Event, ImageInfo, Preview, Started, Step, Timings, Waiting};
pub use image_input::{ImageInput, ImageRole, ImageSource, PixelLayout};
pub use jobs::{Expiries, JobExpiry, JobInfo, JobState};
pub use loras::{LoraInfo, Loras};
pub(crate) use request::ReceivedGenerate;
pub use request::{Generate, Priority, Request};
pub use status::{
    Capabilities, Counters, DaemonLimits, DeviceMemory, ModelInfo, Overview, PlannedMemory, Setup,
    Status, Weights, WorkerId, WorkerPlan, WorkerState, WorkerStatus,
};
pub use zimage_params::{LoraChoice, Params};

/// A job's number: unique while the daemon lives, never 0; of detached jobs unique for ever.
pub type JobId = u64;
