//! Jobs: one unfinished or retained job, its progress, its retention and its id.

pub(crate) mod detached;
pub(crate) mod id;
pub(crate) mod job;
mod progress;
