//! Preparation of checkpoints: the file that appears when it is complete, progress, and failures.

mod events;
mod failure;
mod new_file;
mod reporter;

pub(crate) use events::{PreparedEvent, VerifiedEvent};
pub(crate) use failure::{checkpoint_failure, failure};
pub(crate) use new_file::NewFile;
pub(crate) use reporter::PrepareReporter;
