//! The worker: its life (`life`, in the words of `state`), its end (`exit`), its process
//! (`process`), what it says (`link`) and what it leaves (`kept`).

pub(crate) mod exit;
pub(crate) mod kept;
pub(crate) mod life;
pub(crate) mod link;
mod oom;
pub(crate) mod process;
pub(crate) mod state;
