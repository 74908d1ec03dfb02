//! A value that lies in an arena, or in whichever slot holds its block.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The place of a matrix, or of what belongs to one.
#[derive(Debug)]
pub(crate) enum Placed<T> {
    /// In an arena.
    Resident(T),
    /// In a slot, while its part of the block is acquired.
    Streamed(Streamed<T>),
}

/// A matrix of a streamed block.
#[derive(Debug)]
pub(crate) struct Streamed<T> {
    /// One view for each slot.
    pub(super) views: Vec<T>,
    /// The slot that its part of the block is in.
    pub(super) slot: Arc<AtomicUsize>,
}

impl<T> Placed<T> {
    /// The matrix. Its numbers are undefined while its part is not acquired.
    pub(crate) fn get(&self) -> &T {
        match self {
            Self::Resident(value) => value,
            Self::Streamed(streamed) => &streamed.views[streamed.slot.load(Ordering::Relaxed)],
        }
    }

    /// The same of what `make` makes of each view.
    ///
    /// # Errors
    /// The first of `make`.
    pub(crate) fn map<U, E>(self, make: impl Fn(T) -> Result<U, E>) -> Result<Placed<U>, E> {
        Ok(match self {
            Self::Resident(value) => Placed::Resident(make(value)?),
            Self::Streamed(Streamed { views, slot }) => {
                let views = views.into_iter().map(make).collect::<Result<_, _>>()?;
                Placed::Streamed(Streamed { views, slot })
            }
        })
    }
}
