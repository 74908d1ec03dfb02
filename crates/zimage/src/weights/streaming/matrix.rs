//! A matrix in an arena, or in whichever slot holds its block.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::Tensor;

/// A matrix's place.
#[derive(Debug)]
pub(crate) enum Matrix {
    /// In an arena.
    Resident(Tensor),
    /// In a slot, while its block is acquired.
    Streamed(StreamedMatrix),
}

/// A matrix of a streamed block.
#[derive(Debug)]
pub(crate) struct StreamedMatrix {
    /// One view for each slot.
    pub(super) views: Vec<Tensor>,
    /// The slot that its block is in.
    pub(super) slot: Arc<AtomicUsize>,
}

impl Matrix {
    /// The matrix. Its numbers are undefined while its block is not acquired.
    pub(crate) fn tensor(&self) -> &Tensor {
        match self {
            Self::Resident(tensor) => tensor,
            Self::Streamed(matrix) => &matrix.views[matrix.slot.load(Ordering::Relaxed)],
        }
    }
}
