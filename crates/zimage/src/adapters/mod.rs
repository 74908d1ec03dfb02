//! Adapters on the device: read once, cached, and switched for each request without touching the weights.

mod active;
mod load;
mod maps;
mod plan;

use std::path::PathBuf;

pub(crate) use active::{Adapters, Sides};
pub(crate) use maps::{MapGroup, VisitedMap};

/// An adapter that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterChoice {
    /// The name by which it is asked for.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The factor of what it adds; 1 is as it was trained.
    pub weight: f32,
}
