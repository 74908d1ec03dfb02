//! From files to the GPU: a few pinned slots that a thread fills while the GPU empties others.
//!
//! Pinned memory is slow to make (2 GB/s by `cudaHostAlloc`, 13 to 16 by registering what was
//! touched), so it is a small ring and never the model; pageable memory reaches a ninth of the
//! speed.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use std::ffi::c_void;
use std::ops::Range;

use cudarc::driver::{result, sys};

use crate::context::{self, refused};
use crate::{Error, Memory};

/// Slots are whole pages: those are what is pinned.
const PAGE: usize = 4096;

/// One thread's slots and its stream. Not to be sent to another thread.
#[derive(Debug)]
pub struct Uploader {
    stream: sys::CUstream,
    /// One for each slot: recorded behind its last copy.
    events: Vec<sys::CUevent>,
    /// The slots lie one after the other from `begin`.
    memory: Vec<u8>,
    begin: usize,
    slot_bytes: usize,
    registered: bool,
    /// The slot that is filled next.
    slot: usize,
}

impl Uploader {
    /// `slots` slots of at least `slot_bytes` bytes, for the GPU of this number.
    ///
    /// # Errors
    /// When the driver refuses: it may not pin so much memory.
    pub fn new(ordinal: usize, slots: usize, slot_bytes: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let slot_bytes = slot_bytes.next_multiple_of(PAGE);
        // Touched by this thread, so that registering need not do it.
        let memory = vec![1; slots * slot_bytes + PAGE];
        let begin = memory.as_ptr().align_offset(PAGE);
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(refused("cuStreamCreate"))?;
        // From here on dropping it gives back what there is.
        let mut uploader = Self {
            stream,
            events: Vec::with_capacity(slots),
            memory,
            begin,
            slot_bytes,
            registered: false,
            slot: 0,
        };
        for _ in 0..slots {
            let quick = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
            uploader.events.push(result::event::create(quick).map_err(refused("cuEventCreate"))?);
        }
        let (place, bytes) = uploader.pinned();
        // SAFETY: the memory is ours and lives until it is unregistered.
        unsafe { sys::cuMemHostRegister_v2(place, bytes, 0) }
            .result()
            .map_err(refused("cuMemHostRegister"))?;
        uploader.registered = true;
        Ok(uploader)
    }

    /// The next slot, to be filled: waits until what was in it has reached the GPU.
    ///
    /// # Errors
    /// When an earlier copy failed.
    pub fn slot(&mut self) -> Result<&mut [u8], Error> {
        // SAFETY: the event is ours; one that was never recorded is no wait.
        unsafe { result::event::synchronize(self.events[self.slot]) }
            .map_err(refused("cuEventSynchronize"))?;
        let range = self.range();
        Ok(&mut self.memory[range])
    }

    /// Copies the first `bytes` bytes of the slot to `offset` in `memory`, and goes on to the next
    /// slot; returns at once. The memory must be there until [`Uploader::finish`].
    ///
    /// # Errors
    /// When they do not fit, or the driver refuses.
    pub fn send(&mut self, bytes: usize, memory: &Memory, offset: usize) -> Result<(), Error> {
        if memory.bytes().checked_sub(offset).is_none_or(|room| bytes > room) {
            return Err(Error::Misuse("a copy does not fit its memory"));
        }
        let to = memory.address() + offset as u64;
        let range = self.range();
        let from = &self.memory[range][..bytes];
        // SAFETY: the slot is not written before its event says that the copy is over, and not
        // freed before the stream has ended; the copy ends inside the GPU's memory.
        unsafe { result::memcpy_htod_async(to, from, self.stream) }
            .map_err(refused("cuMemcpyHtoDAsync"))?;
        // SAFETY: both are ours.
        unsafe { result::event::record(self.events[self.slot], self.stream) }
            .map_err(refused("cuEventRecord"))?;
        self.slot = (self.slot + 1) % self.events.len();
        Ok(())
    }

    /// Waits until everything has reached the GPU.
    ///
    /// # Errors
    /// When a copy failed.
    pub fn finish(self) -> Result<(), Error> {
        // SAFETY: the stream is ours.
        unsafe { result::stream::synchronize(self.stream) }.map_err(refused("cuStreamSynchronize"))
    }

    fn range(&self) -> Range<usize> {
        let begin = self.begin + self.slot * self.slot_bytes;
        begin..begin + self.slot_bytes
    }

    fn pinned(&mut self) -> (*mut c_void, usize) {
        let bytes = self.memory.len() - PAGE;
        (self.memory[self.begin..].as_mut_ptr().cast(), bytes)
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        let (place, _) = self.pinned();
        // SAFETY: all of these are ours, and nothing is under way once the stream has come to
        // rest; after an error on the GPU they fail, and the process is about to end.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            if self.registered {
                let _ = sys::cuMemHostUnregister(place);
            }
            for event in self.events.drain(..) {
                let _ = result::event::destroy(event);
            }
            let _ = result::stream::destroy(self.stream);
        }
    }
}
