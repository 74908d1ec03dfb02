//! A blocking client of zimaged, the daemon that generates images with Z-Image-Turbo.
//!
#![doc = include_str!("../README.md")]

mod client;
mod image_upload;
mod job;
pub mod service;
pub mod session;
pub mod socket;
mod stream;

pub use client::Client;
pub use image_upload::{ImageUpload, UploadMethod};
pub use job::{Canceller, Image, Job, Update};
pub use zimage_params as params;
pub use zimage_params::{ParamsError, seed_of_image};
pub use zimg_protocol::messages::{
    Busy, Capabilities, Counters, DaemonLimits, DeviceMemory, Expiries, Generate, ImageInfo,
    ImageRole, JobExpiry, JobId, JobInfo, JobState, LoraInfo, Loras, ModelInfo, Overview, Params,
    PixelLayout, PlannedMemory, Preview, Priority, Setup, Started, Status, Step, Timings, Waiting,
    Weights, WorkerId, WorkerPlan, WorkerState, WorkerStatus,
};
pub use zimg_protocol::{Failure, Kind, home, limits};
