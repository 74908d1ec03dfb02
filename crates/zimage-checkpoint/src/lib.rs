//! Finding, describing and verifying checkpoints of Z-Image, without libtorch.
//!
#![doc = include_str!("../README.md")]

mod checkpoint;
mod component;
mod config;
pub mod digest;
mod error;
mod expected_tensors;
mod fingerprint;
mod format;
mod layout;
mod location;
mod source;
mod stored_tensor;
mod tensor_index;
mod verify;

pub use checkpoint::Checkpoint;
pub use component::Component;
pub use config::{SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
pub use error::{Error, Result};
pub use expected_tensors::{Architecture, ExpectedTensor};
pub use fingerprint::FileFingerprint;
pub use location::ModelLocation;
pub use source::{DataFile, Source};
pub use stored_tensor::{StorageType, StoredTensor, UnsupportedType};
pub use tensor_index::TensorIndex;
pub use verify::Summary;
