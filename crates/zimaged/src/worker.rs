//! The worker: its life (`state`), its process (`process`) and what it says (`link`).

pub(crate) mod link;
pub(crate) mod process;
pub(crate) mod state;
