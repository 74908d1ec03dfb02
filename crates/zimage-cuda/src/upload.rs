//! Host-to-device upload through a ring of pinned slots: a thread fills one slot while the GPU copies
//! from the others.
//!
//! Pinned memory is slow to allocate (2 GB/s with `cudaHostAlloc`, 13 to 16 GB/s by registering
//! touched pages), so the ring is small and never as large as the model. Copies from pageable memory
//! reach a ninth of the speed.

#![expect(unsafe_code, reason = "calls into the driver's C interface")]

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{result, sys};
use tch::Kind;
use zimage_checkpoint::Piece;

use crate::context::{self, refused};
use crate::copy_stream::CopyStream;
use crate::error::Error;
use crate::kernels::{Expander, Int8Maker, PlainRows};
use crate::memory::Memory;

/// Slots are whole pages, the unit of pinning.
const PAGE: usize = 4096;

/// The slots and the stream of one thread.
#[derive(Debug)]
pub struct Uploader {
    stream: Arc<CopyStream>,
    /// One for each slot, recorded after its last copy.
    events: Vec<sys::CUevent>,
    /// The slots are contiguous from `begin`.
    memory: Vec<u8>,
    begin: usize,
    slot_bytes: usize,
    registered: bool,
    /// The next slot to fill.
    slot: usize,
    /// The GPU's memory for bytes that are expanded there, once there are any.
    staging: Option<Memory>,
}

impl Uploader {
    /// `slots` slots of at least `slot_bytes` bytes, for the GPU `ordinal`.
    ///
    /// # Errors
    /// When the driver fails, for example at the limit of pinned memory.
    pub fn new(ordinal: usize, slots: usize, slot_bytes: usize) -> Result<Self, Error> {
        context::make_current(ordinal)?;
        let slot_bytes = slot_bytes.next_multiple_of(PAGE);
        // Touched by this thread: registering touched pages is faster.
        let memory = vec![1; slots * slot_bytes + PAGE];
        let begin = memory.as_ptr().align_offset(PAGE);
        let stream = Arc::new(CopyStream::new(ordinal)?);
        // From here on, dropping releases everything.
        let mut uploader = Self {
            stream,
            events: Vec::with_capacity(slots),
            memory,
            begin,
            slot_bytes,
            registered: false,
            slot: 0,
            staging: None,
        };
        for _ in 0..slots {
            let quick = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
            uploader.events.push(result::event::create(quick).map_err(refused("cuEventCreate"))?);
        }
        let (place, bytes) = uploader.pinned();
        // SAFETY: this value owns the memory, which lives until it is unregistered.
        unsafe { sys::cuMemHostRegister_v2(place, bytes, 0) }
            .result()
            .map_err(refused("cuMemHostRegister"))?;
        uploader.registered = true;
        Ok(uploader)
    }

    /// Copies on this stream from now on, after what it has copied so far.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn turn_to(&mut self, stream: &Arc<CopyStream>) -> Result<(), Error> {
        if !Arc::ptr_eq(&self.stream, stream) {
            let last = (self.slot + self.events.len() - 1) % self.events.len();
            let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            // SAFETY: this value owns the event, and the caller has the stream.
            unsafe { result::stream::wait_event(stream.raw(), self.events[last], flags) }
                .map_err(refused("cuStreamWaitEvent"))?;
            self.stream = Arc::clone(stream);
        }
        Ok(())
    }

    /// The next slot to fill, once its previous content has reached the GPU.
    ///
    /// # Errors
    /// When an earlier copy failed.
    pub fn slot(&mut self) -> Result<&mut [u8], Error> {
        // SAFETY: this value owns the event; waiting for an unrecorded event returns at once.
        unsafe { result::event::synchronize(self.events[self.slot]) }
            .map_err(refused("cuEventSynchronize"))?;
        let range = self.range();
        Ok(&mut self.memory[range])
    }

    /// Starts to copy the first `bytes` bytes of the slot to `offset` in `memory`, and advances to the
    /// next slot. The memory must live until [`Uploader::finish`].
    ///
    /// # Errors
    /// When the bytes do not fit, or the driver fails.
    pub fn send(&mut self, bytes: usize, memory: &Memory, offset: usize) -> Result<(), Error> {
        if memory.bytes().checked_sub(offset).is_none_or(|room| bytes > room) {
            return Err(Error::InvalidArguments("a copy exceeds its memory"));
        }
        self.copy(bytes, memory.address() + offset as u64)?;
        self.advance()
    }

    /// Starts to copy the piece of a tensor in the slot to the GPU and to expand it to `offset` in
    /// `memory`, and advances to the next slot. The memory must live until [`Uploader::finish`].
    ///
    /// # Errors
    /// As [`Uploader::send`], or when the GPU has no memory for the copy.
    pub fn expand(
        &mut self,
        expander: &Expander,
        piece: &Piece,
        (memory, offset): (&Memory, usize),
        kind: Kind,
    ) -> Result<(), Error> {
        let stream = self.stream.raw();
        let staging = self.stage(piece.bytes(), memory.ordinal())?;
        // SAFETY: this value owns the staging memory, and dropping it waits for the GPU; the other
        // memory lives long enough as required. The stream runs copies and kernels in turns.
        unsafe { expander.expand_on(stream, piece, staging, (memory, offset), kind) }?;
        self.advance()
    }

    /// Starts to copy the rows of plain numbers in the slot to the GPU and to make integers of them at
    /// one offset of `memory`, with scales at another, and advances to the next slot. The memory must
    /// live until [`Uploader::finish`].
    ///
    /// # Errors
    /// As [`Uploader::expand`].
    pub fn make_int8(
        &mut self,
        maker: &Int8Maker,
        rows: PlainRows,
        (memory, values, scales): (&Memory, usize, usize),
    ) -> Result<(), Error> {
        let bytes = rows.rows * rows.width * rows.number.bytes() as usize;
        let stream = self.stream.raw();
        let staging = self.stage(bytes, memory.ordinal())?;
        // SAFETY: as for an expansion.
        unsafe { maker.make_on(stream, rows, staging, (memory, values, scales)) }?;
        self.advance()
    }

    /// Starts to copy the first `bytes` bytes of the slot to memory of this value's, for a kernel of the
    /// same stream.
    fn stage(&mut self, bytes: usize, ordinal: usize) -> Result<&Memory, Error> {
        let staging = match self.staging.take() {
            Some(staging) if staging.bytes() >= bytes => staging,
            _ => Memory::new(ordinal, self.slot_bytes.max(bytes))?,
        };
        let address = staging.address();
        self.staging = Some(staging);
        self.copy(bytes, address)?;
        let none = Error::InvalidArguments("there is no memory for a kernel to read from");
        self.staging.as_ref().ok_or(none)
    }

    /// Starts to copy the first `bytes` bytes of the slot to an address of the GPU's.
    fn copy(&mut self, bytes: usize, to: u64) -> Result<(), Error> {
        if bytes > self.slot_bytes {
            return Err(Error::InvalidArguments("a copy exceeds its slot"));
        }
        let range = self.range();
        let from = &self.memory[range][..bytes];
        // SAFETY: the slot is not written before its event has completed, and not freed before the
        // stream is idle; the copy is within the GPU's memory.
        unsafe { result::memcpy_htod_async(to, from, self.stream.raw()) }
            .map_err(refused("cuMemcpyHtoDAsync"))
    }

    fn advance(&mut self) -> Result<(), Error> {
        // SAFETY: this value owns both.
        unsafe { result::event::record(self.events[self.slot], self.stream.raw()) }
            .map_err(refused("cuEventRecord"))?;
        self.slot = (self.slot + 1) % self.events.len();
        Ok(())
    }

    /// Waits until everything has reached the GPU.
    ///
    /// # Errors
    /// When a copy failed.
    pub fn finish(self) -> Result<(), Error> {
        // SAFETY: this value owns the stream.
        unsafe { result::stream::synchronize(self.stream.raw()) }
            .map_err(refused("cuStreamSynchronize"))
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
        // SAFETY: this value owns all of these, and no copy runs once the stream is idle. After an
        // error of the GPU these calls fail, and the process is about to end.
        unsafe {
            let _ = result::stream::synchronize(self.stream.raw());
            if self.registered {
                let _ = sys::cuMemHostUnregister(place);
            }
            for event in self.events.drain(..) {
                let _ = result::event::destroy(event);
            }
        }
    }
}
