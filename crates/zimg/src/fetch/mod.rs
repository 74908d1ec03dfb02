//! Fetching of checkpoints: failures with exit codes, the question about the disk, and progress.

mod disk;
mod events;
mod failure;
mod lora;
mod reporter;
mod result;

pub(crate) use disk::check_disk;
pub(crate) use events::FileEvent;
pub(crate) use failure::failure;
pub(crate) use lora::PulledLora;
pub(crate) use reporter::PullReporter;
pub(crate) use result::PulledModel;
