//! The streamer: which part of a block is in which slot, and which one comes next.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::{Device, Kind, Tensor};
use zimage_cuda::Event;

use super::feeder::{CHUNK, Feeder, Fill};
use super::pinned::PinnedFiles;
use super::placed::{Placed, Streamed};
use super::slots::Slots;
use crate::error::{Error, Result};
use crate::weights::arena::aligned;
use crate::weights::reader::Read;

/// A sequence of parts of blocks that is computed from its first to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The text encoder and the context refiner: once a new prompt; denoising follows.
    Encode,
    /// The noise refiner and the main layers: once a step, and again.
    Denoise,
}

/// Copies parts to slots in the order in which they are used.
#[derive(Debug)]
pub(crate) struct Streamer {
    // Both before the slots, which they write to.
    feeder: Feeder,
    /// If the parts are copied from pinned files instead.
    pinned: OnceCell<PinnedFiles>,
    slots: Slots,
    device: Device,
    /// False until the weights may be read: warm-up before that computes with any numbers.
    open: Cell<bool>,
    ring: RefCell<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    parts: Vec<Part>,
    /// Parts on their way to a slot, or there, in the order of their use.
    ahead: VecDeque<Ahead>,
    /// Slots that the device has released, or will.
    free: VecDeque<usize>,
}

/// A part on its way to a slot.
#[derive(Debug)]
struct Ahead {
    number: usize,
    slot: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Files, by the feeder.
    Files(Arc<Fill>),
    /// Pinned files: the end of the copies.
    Pinned(Arc<Event>),
}

/// What is copied at once: the matrices of a block's attention, or of its feed-forward.
#[derive(Debug)]
struct Part {
    pass: Pass,
    /// Addresses are those in slot 0.
    reads: Vec<(usize, Read)>,
}

/// A part of a block that is in a slot only while it is used.
#[derive(Debug)]
pub(crate) struct StreamedPart {
    streamer: Rc<Streamer>,
    number: usize,
    slot: Arc<AtomicUsize>,
}

/// A part's slot until it is dropped.
#[derive(Debug)]
pub(crate) struct Acquired<'a>(&'a StreamedPart);

/// A part under construction.
#[derive(Debug)]
pub(crate) struct PartBuilder {
    streamer: Rc<Streamer>,
    pass: Pass,
    slot: Arc<AtomicUsize>,
    reads: Vec<(usize, Read)>,
    used: usize,
}

impl Streamer {
    /// A streamer with `count` slots (at least two) of `slot_bytes` bytes, the most that a part
    /// has.
    ///
    /// # Errors
    /// When the device's memory is too small, or threads cannot start.
    pub(crate) fn new(device: Device, slot_bytes: usize, count: usize) -> Result<Rc<Self>> {
        let slots = Slots::new(device, slot_bytes, count.max(2))?;
        let feeder = Feeder::new(device, slots.count())?;
        let ring = Ring { free: (0..slots.count()).collect(), ..Ring::default() };
        let (open, ring) = (Cell::new(false), RefCell::new(ring));
        Ok(Rc::new(Self { feeder, pinned: OnceCell::new(), slots, device, open, ring }))
    }

    /// Copies parts from now on: their files may be read.
    pub(crate) fn open(&self) {
        self.open.set(true);
    }

    /// Whether integers are made of plain numbers each time a part is copied.
    pub(crate) fn makes_int8(&self) -> bool {
        let ring = self.ring.borrow();
        ring.parts.iter().any(|part| part.reads.iter().any(|(_, read)| read.int8.is_some()))
    }

    /// Pins the parts' files, to copy from their pages; nothing on a CPU, or if the device has any
    /// part in another form than its file.
    ///
    /// # Errors
    /// When the driver refuses to pin as much. Parts are then read by threads, as before.
    pub(crate) fn pin(&self) -> Result<()> {
        let ring = self.ring.borrow();
        let reads = ring.parts.iter().flat_map(|part| part.reads.iter().map(|(_, read)| read));
        if let Some(pinned) = PinnedFiles::new(self.device, reads, &self.slots)? {
            let _ = self.pinned.set(pinned);
        }
        Ok(())
    }

    /// The slot that holds the part, which libtorch's later work waits for.
    fn acquire(&self, number: usize) -> Result<usize> {
        if !self.open.get() {
            return Ok(0);
        }
        let mut ring = self.ring.borrow_mut();
        if ring.ahead.front().is_none_or(|ahead| ahead.number != number) {
            // Another sequence than the usual one: what is on its way is not needed.
            while let Some(ahead) = ring.ahead.pop_front() {
                let _ = ahead.wait();
                self.mark_released(ahead.slot)?;
                ring.free.push_back(ahead.slot);
            }
            self.advance(&mut ring, number)?;
        }
        let Some(next) = ring.ahead.pop_front() else {
            return Err(Error::Internal("all slots of streamed weights are in use".to_owned()));
        };
        let mut last = ring.ahead.back().map_or(number, |ahead| ahead.number);
        while !ring.free.is_empty() {
            last = ring.next(last);
            self.advance(&mut ring, last)?;
        }
        drop(ring);
        if let Err(error) = next.wait() {
            self.mark_released(next.slot)?;
            self.ring.borrow_mut().free.push_back(next.slot);
            return Err(error);
        }
        Ok(next.slot)
    }

    /// Gives a slot back once the device has done what was launched so far, and starts to copy the
    /// part that is not yet on its way.
    fn release(&self, number: usize, slot: usize) -> Result<()> {
        if !self.open.get() {
            return Ok(());
        }
        self.mark_released(slot)?;
        let mut ring = self.ring.borrow_mut();
        ring.free.push_back(slot);
        let last = ring.ahead.back().map_or(number, |ahead| ahead.number);
        let next = ring.next(last);
        self.advance(&mut ring, next)
    }

    fn mark_released(&self, slot: usize) -> Result<()> {
        match self.slots.released().get(slot) {
            Some(event) => Ok(event.record_compute()?),
            None => Ok(()),
        }
    }

    /// Starts to copy a part to the next free slot.
    fn advance(&self, ring: &mut Ring, number: usize) -> Result<()> {
        let Some(slot) = ring.free.pop_front() else { return Ok(()) };
        let Some(part) = ring.parts.get(number) else {
            return Err(Error::Internal(format!("there is no streamed part {number}")));
        };
        let source = match self.pinned.get() {
            Some(pinned) => Source::Pinned(pinned.copy(&part.reads, slot, &self.slots)?),
            None => {
                let chunks = part.reads.iter().flat_map(|(offset, read)| {
                    let address = self.slots.address(slot, *offset);
                    Read { address, ..read.clone() }.chunks(CHUNK).collect::<Vec<_>>()
                });
                let released = self.slots.released().get(slot);
                Source::Files(self.feeder.fill(slot, released, chunks.collect())?)
            }
        };
        ring.ahead.push_back(Ahead { number, slot, source });
        Ok(())
    }
}

impl Ahead {
    /// Makes libtorch's later work wait for the part.
    fn wait(&self) -> Result<()> {
        match &self.source {
            Source::Files(fill) => fill.wait(),
            Source::Pinned(copied) => Ok(copied.hold_compute()?),
        }
    }
}

impl Ring {
    /// The part that is used after part `number`.
    fn next(&self, number: usize) -> usize {
        let pass = self.parts[number].pass;
        let first = |pass| self.parts.iter().position(|part| part.pass == pass);
        let later = self.parts.iter().skip(number + 1).position(|part| part.pass == pass);
        match later {
            Some(distance) => number + 1 + distance,
            // Both passes are followed by denoising. Without one, by the same pass for the next prompt.
            None => first(Pass::Denoise).or_else(|| first(pass)).unwrap_or(number),
        }
    }
}

impl PartBuilder {
    /// A part of a pass; parts are added in the order in which the pass uses them.
    pub(crate) fn new(streamer: &Rc<Streamer>, pass: Pass) -> Self {
        Self {
            streamer: Rc::clone(streamer),
            pass,
            slot: Arc::new(AtomicUsize::new(0)),
            reads: Vec::new(),
            used: 0,
        }
    }

    /// Adds a tensor of this shape and kind, of `bytes` bytes; `reads` fill it, each at its offset.
    ///
    /// # Errors
    /// When the slots are too small for it: a fault of the plan.
    pub(in crate::weights) fn add(
        &mut self,
        reads: Vec<(usize, Read)>,
        bytes: usize,
        kind: Kind,
        shape: &[i64],
    ) -> Result<Placed<Tensor>> {
        let slots = &self.streamer.slots;
        let begin = self.used;
        self.reads.extend(reads.into_iter().map(|(offset, read)| (begin + offset, read)));
        if begin + bytes > slots.slot_bytes() {
            return Err(Error::Internal(format!(
                "a streamed part has more than the {} bytes of a slot",
                slots.slot_bytes()
            )));
        }
        self.used = aligned(begin + bytes);
        let views = (0..slots.count()).map(|slot| slots.view(slot, (begin, bytes), kind, shape));
        let views = views.collect::<Result<_>>()?;
        Ok(Placed::Streamed(Streamed { views, slot: Arc::clone(&self.slot) }))
    }

    /// The part, known to the streamer.
    pub(crate) fn finish(self) -> StreamedPart {
        let Self { streamer, pass, slot, reads, .. } = self;
        let mut ring = streamer.ring.borrow_mut();
        let number = ring.parts.len();
        ring.parts.push(Part { pass, reads });
        drop(ring);
        StreamedPart { streamer, number, slot }
    }
}

impl StreamedPart {
    /// Holds the part in a slot for what libtorch launches until the result is dropped.
    ///
    /// # Errors
    /// When its file could not be read, or the device failed.
    pub(crate) fn acquire(&self) -> Result<Acquired<'_>> {
        let slot = self.streamer.acquire(self.number)?;
        self.slot.store(slot, Ordering::Relaxed);
        Ok(Acquired(self))
    }
}

impl Drop for Acquired<'_> {
    fn drop(&mut self) {
        let Self(part) = self;
        // After a fault of the device, the next acquisition reports it.
        let _ = part.streamer.release(part.number, part.slot.load(Ordering::Relaxed));
    }
}
