//! Checkpoints on this machine: where they are looked for, and what is found.

mod candidates;
mod found;
mod places;

pub(crate) use found::{FoundModel, ModelState, find, is_same};
pub(crate) use places::Place;
