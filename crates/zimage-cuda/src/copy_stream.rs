//! A stream of copies to a GPU, beside what libtorch computes.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use cudarc::driver::{result, sys};

use crate::context::{self, refused};
use crate::error::Error;
use crate::event::Event;

/// A stream of copies to a GPU: they run one after the other, whichever thread launches them. Copies on
/// one stream follow each other at once; from one stream to another the engine takes some 5 µs.
#[derive(Debug)]
pub struct CopyStream(sys::CUstream);

// SAFETY: the driver's functions on streams may be called from any thread, also at once.
unsafe impl Send for CopyStream {}
// SAFETY: as above.
unsafe impl Sync for CopyStream {}

impl CopyStream {
    /// A stream of its own on the GPU `ordinal`.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn new(ordinal: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let kind = result::stream::StreamKind::NonBlocking;
        Ok(Self(result::stream::create(kind).map_err(refused("cuStreamCreate"))?))
    }

    /// The driver's handle.
    pub(crate) fn raw(&self) -> sys::CUstream {
        self.0
    }

    /// Makes the later copies wait for the event.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn hold(&self, event: &Event) -> Result<(), Error> {
        event.hold(self.0)
    }

    /// Marks with the event the end of the copies so far.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn record(&self, event: &Event) -> Result<(), Error> {
        event.record(self.0)
    }
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        // SAFETY: this value owns the stream.
        unsafe {
            let _ = result::stream::synchronize(self.0);
            let _ = result::stream::destroy(self.0);
        }
    }
}
