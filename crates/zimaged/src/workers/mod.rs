//! The worker: its lifecycle, its process and exit, its link to the supervisor and the weights that
//! outlive it.

pub(crate) mod exit;
pub(crate) mod lifecycle;
pub(crate) mod link;
mod oom;
pub(crate) mod process;
pub(crate) mod retained_weights;
