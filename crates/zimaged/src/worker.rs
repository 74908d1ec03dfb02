//! The worker: its life (`life`, in the words of `state`), its end (`exit`), its process
//! (`process`) and what it says (`link`).

pub(crate) mod exit;
pub(crate) mod life;
pub(crate) mod link;
pub(crate) mod process;
pub(crate) mod state;
