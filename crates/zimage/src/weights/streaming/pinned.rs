//! Pinned files: blocks are copied by the GPU from the page cache itself, whose pages are locked.
//!
//! For blocks that the device has as the file has them: no thread reads, and the link has its full
//! speed, 55 GB/s where reader threads reach 49. Locked pages are not free for other programs, so only
//! those of streamed blocks are locked, and only as many as the configuration allows.

use std::ops::Range;
use std::sync::Arc;

use tch::{Device, Kind};
use zimage_checkpoint::DataFile;
use zimage_cuda::{CopyStream, Event, MappedFile};

use super::slots::Slots;
use crate::error::{Error, Result};
use crate::weights::arena::ArenaAddress;
use crate::weights::reader::Read;

/// What lies between two streamed tensors is pinned too if it is no more.
const GAP: u64 = 1 << 20;

/// The pinned parts of files, and the stream that copies from them.
#[derive(Debug)]
pub(super) struct PinnedFiles {
    // Before the files that it copies from.
    stream: CopyStream,
    files: Vec<(Arc<DataFile>, Vec<MappedFile>)>,
    /// One for each slot.
    copied: Vec<Arc<Event>>,
}

impl PinnedFiles {
    /// Pins what these reads read; none on a CPU, or if a read is not a plain copy of a file on disk.
    ///
    /// # Errors
    /// When the driver refuses to pin as much. Then nothing is pinned.
    pub(super) fn new<'a>(
        device: Device,
        reads: impl Iterator<Item = &'a Read>,
        slots: &Slots,
    ) -> Result<Option<Self>> {
        let Device::Cuda(ordinal) = device else { return Ok(None) };
        let mut parts: Vec<(&Arc<DataFile>, Vec<Range<u64>>)> = Vec::new();
        for read in reads {
            if read.file.descriptor().is_none() || !read.is_copy() {
                return Ok(None);
            }
            let part = read.part();
            match parts.iter_mut().find(|(file, _)| Arc::ptr_eq(file, &read.file)) {
                Some((_, parts)) => parts.push(part),
                None => parts.push((&read.file, vec![part])),
            }
        }
        let mut files = Vec::new();
        for (file, parts) in parts {
            let Some(descriptor) = file.descriptor() else { return Ok(None) };
            let mapped = |part| Ok(MappedFile::new(ordinal, descriptor, part)?);
            let mapped = joined(parts).into_iter().map(mapped).collect::<Result<_>>()?;
            files.push((Arc::clone(file), mapped));
        }
        let event = |_| Ok::<_, Error>(Arc::new(Event::new(ordinal)?));
        let copied = (0..slots.count()).map(event).collect::<Result<_>>()?;
        Ok(Some(Self { stream: CopyStream::new(ordinal)?, files, copied }))
    }

    /// Starts to copy a part of a block to a slot, once that is released. The result is the end of the
    /// copies.
    ///
    /// # Errors
    /// When the GPU fails.
    pub(super) fn copy(
        &self,
        reads: &[(usize, Read)],
        slot: usize,
        slots: &Slots,
    ) -> Result<Arc<Event>> {
        let fault = || Error::Internal("a streamed block is not pinned".to_owned());
        let copied = self.copied.get(slot).ok_or_else(fault)?;
        self.stream.hold(slots.released().get(slot).ok_or_else(fault)?)?;
        for (offset, read) in reads {
            let part = read.part();
            let file = self.files.iter().find(|(file, _)| Arc::ptr_eq(file, &read.file));
            let mapped = file.and_then(|(_, parts)| parts.iter().find(|own| own.holds(&part)));
            let ArenaAddress::Cuda(to, at) = slots.address(slot, *offset) else {
                return Err(fault());
            };
            let from = (mapped.ok_or_else(fault)?, part.start);
            self.stream.copy(from, read.stored.bytes as usize, (&to, at))?;
        }
        self.stream.record(copied)?;
        Ok(Arc::clone(copied))
    }
}

/// The parts in their order, near ones as one.
fn joined(mut parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    parts.sort_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.start <= last.end + GAP => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    joined
}

impl Read {
    /// Whether it copies the bytes that the file has.
    fn is_copy(&self) -> bool {
        let has_kind = crate::weights::cast::kind_of(self.stored.encoding) == Some(self.to);
        self.int8.is_none() && (self.to == Kind::Uint8 || has_kind)
    }

    /// Its bytes in the file.
    fn part(&self) -> Range<u64> {
        self.stored.offset..self.stored.offset + self.stored.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_parts_of_a_file_are_pinned_as_one() {
        let far = 3 * GAP;
        let parts = vec![far..far + 5, 10..20, 15..18, 20..30, 40 + GAP..41 + GAP];
        let found = joined(parts);
        assert_eq!(found, [10..30, 40 + GAP..41 + GAP, far..far + 5]);
        assert!(joined(Vec::new()).is_empty());
    }
}
