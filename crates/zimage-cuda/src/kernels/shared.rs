//! Kernels that all threads of a process share: compiled and loaded once for each GPU, when they are
//! first needed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::driver::Gpu;
use crate::error::Error;

/// Kernels by the ordinal of their GPU, or why it has none.
pub(super) struct Shared<T>(Mutex<BTreeMap<usize, Result<T, String>>>);

impl<T: Copy> Shared<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The kernels of the GPU `ordinal`; none if it cannot have them.
    pub(super) fn get(
        &self,
        ordinal: usize,
        compile: impl FnOnce(&Gpu) -> Result<T, Error>,
    ) -> Option<T> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let compile = || {
            let compiled = Gpu::find(ordinal).and_then(|gpu| compile(&gpu));
            compiled.map_err(|error| error.to_string())
        };
        shared.entry(ordinal).or_insert_with(compile).as_ref().ok().copied()
    }

    /// Why the GPU `ordinal` has no kernels, if they were needed and could not be had.
    pub(super) fn failure(&self, ordinal: usize) -> Option<String> {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get(&ordinal)?.as_ref().err().cloned()
    }
}
