//! Preparation: writing a checkpoint once in the form that loads fastest.
//!
//! The form is one safetensors file in ComfyUI's names, which other programs read as well. What its
//! header says beyond that is in `record.rs`.

mod error;
mod header;
mod names;
mod numbers;
mod options;
mod plan;
pub(crate) mod record;
mod verify;
mod write;

pub use error::PrepareError;
pub use options::{PrepareOptions, PreparedType};
pub use plan::PreparePlan;
pub use verify::{Verification, verify_prepared};
