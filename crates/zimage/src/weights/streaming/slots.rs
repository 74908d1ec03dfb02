//! The slots of a ring on one device: each holds one part of a block at a time.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use zimage_cuda::Event;

use crate::error::Result;
use crate::weights::arena::{Arena, ArenaAddress, aligned};

/// The memory of all slots, and on a GPU the event after which each may be overwritten.
#[derive(Debug)]
pub(super) struct Slots {
    arena: Arena,
    slot_bytes: usize,
    /// One for each slot; empty on a CPU, where computation has ended when the call returns.
    released: Arc<[Event]>,
    count: usize,
}

impl Slots {
    /// `count` slots of at least `slot_bytes` bytes.
    pub(super) fn new(device: Device, slot_bytes: usize, count: usize) -> Result<Self> {
        let slot_bytes = aligned(slot_bytes.max(1));
        let arena = Arena::new(device, slot_bytes * count)?;
        let released = match device {
            Device::Cuda(ordinal) => {
                (0..count).map(|_| Event::new(ordinal)).collect::<std::result::Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let released = Arc::from(released);
        Ok(Self { arena, slot_bytes, released, count })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of one slot.
    pub(super) fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// The address of byte `offset` of a slot.
    pub(super) fn address(&self, slot: usize, offset: usize) -> ArenaAddress {
        self.arena.address(slot * self.slot_bytes + offset)
    }

    /// A tensor over `bytes` bytes at `offset` of a slot.
    pub(super) fn view(
        &self,
        slot: usize,
        (offset, bytes): (usize, usize),
        kind: Kind,
        shape: &[i64],
    ) -> Result<Tensor> {
        self.arena.view(slot * self.slot_bytes + offset, bytes, kind, shape)
    }

    /// The events after which the slots may be overwritten, on a GPU.
    pub(super) fn released(&self) -> &Arc<[Event]> {
        &self.released
    }
}
