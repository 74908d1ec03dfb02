//! The protocol between the supervisor and its workers: commands, reports, latents, image inputs, and
//! descriptors of weight memory.
//!
#![doc = include_str!("../README.md")]

mod frame;
mod messages;
mod weights_fd;

pub use frame::{WorkerFrame, kind, write_images, write_latents};
pub use messages::{Command, JobImage, PlanBasis, Point, Report};
pub use weights_fd::{DESCRIPTORS_MAX, Handover};
