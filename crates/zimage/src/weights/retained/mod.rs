//! Retained weights: memory that outlives its process, and the manifest by which it is trusted.

mod checksum;
mod host_memory;
mod manifest;

pub(super) use checksum::checksum;
pub(super) use host_memory::HostMemory;
pub use manifest::WeightDescriptors;
pub(super) use manifest::{ComponentManifest, Identity, Manifest};
