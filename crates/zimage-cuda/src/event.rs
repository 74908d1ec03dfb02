//! Events: points in a stream's work that another stream waits for, without the processor.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use cudarc::driver::{result, sys};

use crate::context::{self, refused};
use crate::error::Error;
use crate::kernels::Stream;

/// A point in the work of a stream. libtorch's stream is the one that it uses on the calling thread.
#[derive(Debug)]
pub struct Event {
    raw: sys::CUevent,
    compute: Stream,
}

// SAFETY: the driver's functions on events may be called from any thread, also at once.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event of the GPU `ordinal` that no stream has reached yet: waiting for it does not wait.
    ///
    /// # Errors
    /// When the driver fails, or libtorch_cuda is not loaded.
    pub fn new(ordinal: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let compute = Stream::of(ordinal)?;
        let raw = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
            .map_err(refused("cuEventCreate"))?;
        Ok(Self { raw, compute })
    }

    /// Marks the end of what libtorch has launched so far.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn record_compute(&self) -> Result<(), Error> {
        self.record(self.compute.now()?)
    }

    /// Makes what libtorch launches from now on wait for the mark.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn hold_compute(&self) -> Result<(), Error> {
        self.hold(self.compute.now()?)
    }

    /// Marks the end of the work of `stream` so far.
    pub(crate) fn record(&self, stream: sys::CUstream) -> Result<(), Error> {
        // SAFETY: this value owns the event, and the caller has the stream.
        unsafe { result::event::record(self.raw, stream) }.map_err(refused("cuEventRecord"))
    }

    /// Makes the later work of `stream` wait for the mark.
    pub(crate) fn hold(&self, stream: sys::CUstream) -> Result<(), Error> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: this value owns the event, and the caller has the stream.
        unsafe { result::stream::wait_event(stream, self.raw, flags) }
            .map_err(refused("cuStreamWaitEvent"))
    }
}

/// Waits until a GPU has finished what libtorch has launched on its stream. Copies on other streams go
/// on: a wait for all of the context would stop the ring of streamed weights at each step's end.
///
/// # Errors
/// When any of the work failed, or libtorch_cuda is not loaded.
pub fn synchronize_compute(ordinal: usize) -> Result<(), Error> {
    context::make_current(ordinal)?;
    let stream = Stream::of(ordinal)?.now()?;
    // SAFETY: libtorch's current stream lives as long as the process.
    unsafe { result::stream::synchronize(stream) }.map_err(refused("cuStreamSynchronize"))
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: this value owns the event; the driver keeps what streams still wait for.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}
