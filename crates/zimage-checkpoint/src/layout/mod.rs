//! Layouts of checkpoints: which files there are, and what their tensors are called.
//!
//! A layout gives each component's configuration and its tensor index under canonical names.

pub(crate) mod diffusers;
